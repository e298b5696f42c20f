package s3

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// errStalled is the cause of a request that was cut because no byte moved.
var errStalled = errors.New("no byte moved for too long")

// watchdog cuts a request on which no byte moves for the limit, in either direction and also while the answer is awaited. Slow
// is fine: each byte resets the clock.
type watchdog struct {
	next  Doer
	limit time.Duration
}

func (w *watchdog) Do(r *http.Request) (*http.Response, error) {
	ctx, cut := context.WithCancelCause(r.Context())
	watch := &watch{
		timer: time.AfterFunc(w.limit, func() { cut(errStalled) }),
		limit: w.limit,
		cut:   cut,
		cause: func() error { return context.Cause(ctx) },
	}
	r = r.Clone(ctx)
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = &watchedBody{r.Body, watch, func() {}}
		r.GetBody = nil
	}
	response, err := w.next.Do(r)
	if err != nil {
		watch.stop()
		return nil, watch.name(err)
	}
	watch.moved()
	response.Body = &watchedBody{response.Body, watch, watch.stop}
	return response, nil
}

// watch is the watchdog of one request.
type watch struct {
	timer *time.Timer
	limit time.Duration
	cut   context.CancelCauseFunc
	cause func() error
}

func (w *watch) moved() { w.timer.Reset(w.limit) }

func (w *watch) stop() {
	w.timer.Stop()
	w.cut(nil)
}

// name gives the error of a cut request its reason.
func (w *watch) name(err error) error {
	if err != nil && errors.Is(w.cause(), errStalled) {
		return errors.Join(errStalled, err)
	}
	return err
}

// watchedBody tells the watch about each byte.
type watchedBody struct {
	io.ReadCloser
	watch   *watch
	onClose func()
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.watch.moved()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = b.watch.name(err)
	}
	return n, err
}

func (b *watchedBody) Close() error {
	b.onClose()
	return b.ReadCloser.Close()
}
