package cluster

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// order is a command for one database, with what an error should call it.
type order struct {
	op      string
	db      string
	command any
}

// read runs a command that changes nothing on the chosen member, again and again within the budget while the reason of a
// failure is one that passes.
func (c *Client) read(ctx context.Context, o order) (bson.Raw, error) {
	return c.persist(ctx, o.op, func(ctx context.Context) (bson.Raw, error) {
		return c.once(ctx, c.reads, o)
	})
}

// once runs a command one time and bounds the wait for its reply.
func (c *Client) once(ctx context.Context, on *mongo.Client, o order) (bson.Raw, error) {
	limited, cancel := context.WithTimeout(ctx, c.options.Stall)
	defer cancel()
	return on.Database(o.db).RunCommand(limited, o.command).Raw()
}

// persist repeats what failed for a reason that passes, with growing pauses, until the budget is used up. It gives the
// last failure as an error of this project.
func (c *Client) persist(ctx context.Context, op string, attempt func(context.Context) (bson.Raw, error)) (bson.Raw, error) {
	var patience patience
	for {
		reply, err := attempt(ctx)
		if err == nil {
			return reply, nil
		}
		if ctx.Err() != nil || !isPassing(err) || !patience.pause(ctx, c) {
			return nil, c.failed(ctx, op, err)
		}
		c.options.Log.Debug("repeat", "op", op, "error", c.secrets.mask(err.Error()))
	}
}

// patience measures one interruption: how long it lasts and how long to pause before the next attempt.
type patience struct {
	began time.Time
	next  time.Duration
}

const (
	firstPause = 100 * time.Millisecond
	longPause  = 5 * time.Second
)

// pause waits before another attempt and reports false when the budget does not allow one or the context ended.
func (p *patience) pause(ctx context.Context, c *Client) bool {
	now := c.options.Now()
	if p.began.IsZero() {
		p.began, p.next = now, firstPause
	}
	if now.Add(p.next).Sub(p.began) > c.options.Budget {
		return false
	}
	alive := sleep(ctx, p.next)
	p.next = min(2*p.next, longPause)
	return alive
}

// over forgets an interruption that ended.
func (p *patience) over() { *p = patience{} }

// sleep reports whether the whole time passed.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
