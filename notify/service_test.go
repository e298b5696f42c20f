package notify_test

import (
	"net"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pitr/notify"
)

// The service manager hears that the service is ready once, and of its life three times as often as it asks.
func TestServiceManagerHears(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	listener, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	env := map[string]string{"NOTIFY_SOCKET": socket, "WATCHDOG_USEC": "30000000"}
	now := time.Unix(1000, 0)
	s := notify.NewService(func(name string) string { return env[name] }, func() time.Time { return now })
	for range 41 {
		s.Alive("archived through 5:1")
		now = now.Add(time.Second)
	}
	s.Alive("waiting")
	s.Stopping()
	var heard []string
	buffer := make([]byte, 1000)
	for len(heard) < 7 {
		_ = listener.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, err := listener.Read(buffer)
		if err != nil {
			t.Fatalf("heard only %q: %v", heard, err)
		}
		heard = append(heard, string(buffer[:n]))
	}
	alive := "WATCHDOG=1\nSTATUS=archived through 5:1"
	want := []string{"READY=1\n" + alive, alive, alive, alive, alive, "WATCHDOG=1\nSTATUS=waiting", "STOPPING=1"}
	if !slices.Equal(heard, want) {
		t.Errorf("heard %q", heard)
	}
}

// Without a service manager, or with one that has gone, nothing happens and nothing waits.
func TestNoServiceManager(t *testing.T) {
	for _, socket := range []string{"", filepath.Join(t.TempDir(), "gone"), "@pitr-nobody-is-here"} {
		s := notify.NewService(func(name string) string { return map[string]string{"NOTIFY_SOCKET": socket}[name] }, time.Now)
		s.Alive("well")
		s.Stopping()
	}
}
