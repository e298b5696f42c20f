package notify_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pitr"
	"pitr/notify"
)

// monitor remembers what it was told.
type monitor struct {
	*httptest.Server
	mu   sync.Mutex
	told []string
	body []string
}

func newMonitor(t *testing.T, answer http.HandlerFunc) *monitor {
	m := &monitor{}
	m.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, _ := io.ReadAll(r.Body)
		m.mu.Lock()
		m.told, m.body = append(m.told, r.Method+" "+r.URL.RequestURI()), append(m.body, string(content))
		m.mu.Unlock()
		if answer != nil {
			answer(w, r)
		}
	}))
	t.Cleanup(m.Close)
	return m
}

// warnings collects what a pinger warns of.
type warnings struct {
	mu   sync.Mutex
	list []string
}

func (w *warnings) add(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = append(w.list, err.Error())
}

func newPinger(t *testing.T, address string, transport http.RoundTripper) (*notify.Pinger, *warnings) {
	t.Helper()
	w := &warnings{}
	p, err := notify.NewPinger(address, notify.PingerOptions{Transport: transport, Warn: w.add})
	if err != nil {
		t.Fatal(err)
	}
	return p, w
}

func TestPingsTellOfARun(t *testing.T) {
	m := newMonitor(t, func(_ http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/start") {
			time.Sleep(50 * time.Millisecond) // the end waits its turn
		}
	})
	p, warned := newPinger(t, m.URL+"/CANARY?rid=7", nil)
	p.Start(t.Context())
	p.End(t.Context(), 0, "not told")
	p, _ = newPinger(t, m.URL+"/CANARY/", nil)
	ctx, cancel := context.WithCancel(t.Context())
	p.Start(ctx)
	p.Alive(ctx)
	for { // the first two have arrived
		m.mu.Lock()
		n := len(m.told)
		m.mu.Unlock()
		if n >= 4 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	cancel()
	p.End(ctx, 16, strings.Repeat("a long story\n", 10_000)+"the end")
	want := []string{"POST /CANARY/start?rid=7", "POST /CANARY?rid=7", "POST /CANARY/start", "POST /CANARY/", "POST /CANARY/fail"}
	if !slices.Equal(m.told, want) {
		t.Errorf("told %v, want %v", m.told, want)
	}
	last := m.body[len(m.body)-1]
	if !strings.HasPrefix(last, "exit code 16\n...\n") || !strings.HasSuffix(last, "the end") || len(last) > 11_000 || m.body[1] != "" {
		t.Errorf("the body of a failure has %d bytes: %.60q", len(last), last)
	}
	if len(warned.list) > 0 {
		t.Errorf("warned of %v", warned.list)
	}
}

// A monitor that cannot be told costs one warning that has no secret in it, whatever is wrong with it. // case U07
func TestPingsThatFailAreOneWarning(t *testing.T) {
	elsewhere := newMonitor(t, nil)
	broken := newMonitor(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	leading := newMonitor(t, nil)
	leading.Config.Handler = http.RedirectHandler(strings.Replace(elsewhere.URL, "127.0.0.1", "localhost", 1)+"/CANARY", http.StatusTemporaryRedirect)
	circle := newMonitor(t, nil)
	circle.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/CANARY/again", http.StatusTemporaryRedirect)
	})
	closed := newMonitor(t, nil)
	closed.Close()
	for name, c := range map[string]struct{ address, says string }{
		"status":         {broken.URL, "status 502"},
		"other host":     {leading.URL, "another host"},
		"in circles":     {circle.URL, "one redirect after the other"},
		"nobody listens": {closed.URL, "refused"},
		"no such name":   {"http://monitor.invalid", "monitor.invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			p, warned := newPinger(t, c.address+"/CANARY", nil)
			p.Start(t.Context())
			p.Alive(t.Context())
			p.End(t.Context(), 1, "failed")
			if len(warned.list) != 1 || !strings.Contains(warned.list[0], c.says) || strings.Contains(warned.list[0], "CANARY") {
				t.Errorf("warned of %q", warned.list)
			}
		})
	}
	if len(elsewhere.told) > 0 {
		t.Errorf("another host was told %v", elsewhere.told)
	}
}

// silent is a network on which nobody answers.
type silent struct{}

// RoundTrip waits until the request is given up.
func (silent) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// rude is a transport that quotes everything.
type rude struct{}

// RoundTrip fails and tells all.
func (rude) RoundTrip(r *http.Request) (*http.Response, error) {
	return nil, errors.New("cannot reach " + r.URL.String() + " for " + r.URL.Path)
}

func TestPingsAreGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, warned := newPinger(t, "https://monitor.example/CANARY", silent{})
		begin := time.Now()
		p.Start(t.Context())
		if took := time.Since(begin); took > 0 {
			t.Errorf("the run waited %s for the start", took)
		}
		p.End(t.Context(), 0, "")
		if took := time.Since(begin); took > 15*time.Second || len(warned.list) != 1 || !strings.Contains(warned.list[0], "does not answer within") {
			t.Errorf("after %s: %q", took, warned.list)
		}
		p, warned = newPinger(t, "https://monitor.example/CANARY", rude{})
		p.End(t.Context(), 3, "")
		if len(warned.list) != 1 || strings.Contains(warned.list[0], "CANARY") {
			t.Errorf("warned of %q", warned.list)
		}
	})
}

func TestAddressesThatAreNone(t *testing.T) {
	for _, address := range []string{"CANARY", "ftp://CANARY/x", "https:///CANARY", "://CANARY", "http://[CANARY"} {
		if _, err := notify.NewPinger(address, notify.PingerOptions{}); pitr.KindOf(err) != pitr.KindInvalid || strings.Contains(err.Error()+pitr.HintOf(err), "CANARY") {
			t.Errorf("%s: %v", address, err)
		}
	}
}
