package replsim

import (
	"bufio"
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"pitr/internal/replsim/command"
	"pitr/internal/replsim/wire"
)

// connection is one client. A reader of its own notices when the client goes away, so that what waits can stop.
type connection struct {
	server *Server
	net    net.Conn
	client *command.Client
	buffer []byte

	// cut is how many bytes of the next reply are sent before the connection ends; zero is all, and it goes on.
	cut int

	mu      sync.Mutex
	running *command.Request
	since   time.Time
}

var errGone = &command.Failure{Code: 279, Message: "operation was interrupted because a client disconnected"}

func (c *connection) serve(ctx context.Context) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(errGone)
	defer context.AfterFunc(ctx, func() { _ = c.net.Close() })() // wakes the reader when the server ends
	messages := make(chan wire.Message)
	var reader sync.WaitGroup
	reader.Go(func() {
		defer close(messages)
		defer cancel(errGone)
		in := bufio.NewReaderSize(c.net, 64<<10)
		for {
			m, err := wire.Read(in)
			if err != nil {
				return
			}
			select {
			case messages <- m:
			case <-ctx.Done():
				return
			}
		}
	})
	for m := range messages {
		if err := c.answer(ctx, m); err != nil {
			break
		}
	}
	cancel(errGone)
	_ = c.net.Close() // wakes the reader
	for range messages {
	}
	reader.Wait()
}

var errDropped = errors.New("the connection was dropped on purpose")

// answer runs one message and writes the reply, unless the client wants none.
func (c *connection) answer(ctx context.Context, m wire.Message) error {
	c.buffer = wire.Begin(c.buffer, m)
	out := command.NewReply(c.buffer)
	err := c.server.dispatch(ctx, c, m, out)
	if err != nil {
		return err
	}
	c.buffer = wire.Finish(out.Bytes(), m)
	if !m.Wants() {
		return nil
	}
	if c.cut > 0 {
		_, _ = c.net.Write(c.buffer[:min(c.cut, len(c.buffer)-1)]) // the connection ends either way
		return errDropped
	}
	_, err = c.net.Write(c.buffer)
	if len(c.buffer) > 1<<20 && cap(c.buffer) > 32<<20 {
		c.buffer = nil
	}
	return err
}
