package notify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"pitr"
)

// pingTime is how long one ping may take.
const pingTime = 5 * time.Second

// maxBody bounds what a failed run tells of itself.
const maxBody = 10_000

// Pinger tells a monitor of scheduled jobs how a run goes, in the way of healthchecks.io and of others that took it over:
// URL/start when it begins, URL when it ends well, URL/fail with the last words when it does not. It is for one run.
type Pinger struct {
	address *url.URL
	client  *http.Client
	warn    func(error)
	failed  sync.Once
	// before ends with the ping before: a start that overtakes the end would look like a run that hangs.
	before <-chan struct{}
}

// PingerOptions are the surroundings of a pinger.
type PingerOptions struct {
	// Transport is the way to the network; the usual one when nil.
	Transport http.RoundTripper
	// Warn hears the first failure of a ping, and no other.
	Warn func(error)
}

// NewPinger checks the address, which may hold a secret: kind invalid, without quoting it.
func NewPinger(address string, o PingerOptions) (*Pinger, error) {
	parsed, err := url.Parse(address)
	if err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https" {
		return nil, pitr.Errorf(pitr.KindInvalid, "read the address to ping", "write an address such as https://hc-ping.com/your-uuid",
			"it is no http or https address")
	}
	if o.Warn == nil {
		o.Warn = func(error) {}
	}
	p := &Pinger{address: parsed, warn: o.Warn}
	p.client = &http.Client{Timeout: pingTime, Transport: o.Transport, CheckRedirect: stayThere}
	return p, nil
}

// errElsewhere ends a ping whose answer leads to another place: the address is a secret between two.
var errElsewhere = errors.New("it answers with a redirect to another host")

func stayThere(next *http.Request, before []*http.Request) error {
	first := before[0].URL
	switch {
	case next.URL.Host != first.Host, next.URL.Scheme != first.Scheme:
		return errElsewhere
	case len(before) > 3:
		return errors.New("it answers with one redirect after the other")
	}
	return nil
}

// Start says that the run begins. It does not wait for the answer.
func (p *Pinger) Start(ctx context.Context) { p.send(ctx, "start", "") }

// Alive says that a run without an end is well. It does not wait for the answer.
func (p *Pinger) Alive(ctx context.Context) { p.send(ctx, "", "") }

// End says how the run ended: code 0 is success, every other one a failure, of which the last words tell. It waits for the
// answers of this and all earlier pings, and goes on when the run's own context is over.
func (p *Pinger) End(ctx context.Context, code int, last string) {
	ctx = context.WithoutCancel(ctx)
	if code == 0 {
		p.send(ctx, "", "")
	} else {
		p.send(ctx, "fail", tail(fmt.Sprintf("exit code %d\n%s", code, last)))
	}
	<-p.before
	p.client.CloseIdleConnections()
}

// tail keeps the end of a text that is too long, and the first line, which has the code.
func tail(text string) string {
	if len(text) <= maxBody {
		return text
	}
	first, _, _ := strings.Cut(text, "\n")
	return first + "\n...\n" + strings.ToValidUTF8(text[len(text)-maxBody+len(first)+5:], "")
}

// send pings behind the ping before. Only the goroutine that owns the pinger calls it.
func (p *Pinger) send(ctx context.Context, what, body string) {
	before, done := p.before, make(chan struct{})
	p.before = done
	go func() {
		defer close(done)
		if before != nil {
			<-before
		}
		if err := p.post(ctx, what, body); err != nil && ctx.Err() == nil {
			p.failed.Do(func() { p.warn(err) })
		}
	}()
}

func (p *Pinger) post(ctx context.Context, what, body string) error {
	to := p.address
	if what != "" {
		to = to.JoinPath(what)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), strings.NewReader(body))
	if err != nil {
		return errors.New("the request cannot be made")
	}
	request.Header.Set("User-Agent", "pitr")
	request.Header.Set("Content-Type", "text/plain; charset=utf-8")
	response, err := p.client.Do(request)
	if err != nil {
		return p.discreet(err)
	}
	defer response.Body.Close() //nolint:errcheck // nothing depends on it
	if _, err := io.Copy(io.Discard, io.LimitReader(response.Body, maxBody)); err != nil {
		return p.discreet(err)
	}
	if response.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s answers with status %d", p.address.Host, response.StatusCode)
	}
	return nil
}

// discreet says what went wrong without the address, which net/http quotes in whole.
func (p *Pinger) discreet(err error) error {
	var quoting *url.Error
	if errors.As(err, &quoting) {
		err = quoting.Err
	}
	if errors.Is(err, context.DeadlineExceeded) || quoting != nil && quoting.Timeout() {
		return fmt.Errorf("%s does not answer within %s", p.address.Host, pingTime)
	}
	text := err.Error()
	for _, secret := range []string{p.address.String(), p.address.RequestURI(), p.address.Path} {
		if len(secret) > 1 {
			text = strings.ReplaceAll(text, secret, "*****")
		}
	}
	return fmt.Errorf("%s: %s", p.address.Host, text)
}
