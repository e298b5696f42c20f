package main

import (
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/urfave/cli/v2"
)

type cliContext = cli.Context

// listenAsManager plays the service manager; each call gives the next message.
func listenAsManager(t *testing.T) func() string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "notify")
	listener, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	t.Setenv("NOTIFY_SOCKET", socket)
	return func() string {
		t.Helper()
		buffer := make([]byte, 4096)
		_ = listener.SetReadDeadline(time.Now().Add(20 * time.Second))
		n, err := listener.Read(buffer)
		if err != nil {
			t.Fatal(err)
		}
		return string(buffer[:n])
	}
}
