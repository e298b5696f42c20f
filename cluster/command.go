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

// link is one of the ways to the cluster: to the member that is read from, or to whoever is primary.
type link struct {
	mongo   *mongo.Client
	options Options
	secrets secrets
	// sessions reports whether the server has them.
	sessions bool
}

// read runs a command that may run twice without harm, again and again within the budget while the reason of a failure is
// one that passes.
func (l *link) read(ctx context.Context, o order) (bson.Raw, error) {
	return l.persist(ctx, o.op, func(ctx context.Context) (bson.Raw, error) { return l.once(ctx, o) })
}

// once runs a command one time and bounds the wait for its reply. Its errors are the driver's.
func (l *link) once(ctx context.Context, o order) (bson.Raw, error) {
	limited, cancel := context.WithTimeout(ctx, l.options.Stall)
	defer cancel()
	return l.mongo.Database(o.db).RunCommand(limited, o.command).Raw()
}

// persist repeats what failed for a reason that passes, with growing pauses, until the budget is used up. It gives the
// last failure as an error of this project.
func (l *link) persist(ctx context.Context, op string, attempt func(context.Context) (bson.Raw, error)) (bson.Raw, error) {
	var patient patience
	for {
		reply, err := attempt(ctx)
		if err == nil {
			return reply, nil
		}
		if ctx.Err() != nil || !isPassing(err) || !patient.pause(ctx, l.options) {
			return nil, l.failed(ctx, op, err)
		}
		l.options.Log.Debug("repeat", "op", op, "error", l.secrets.mask(err.Error()))
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
func (p *patience) pause(ctx context.Context, o Options) bool {
	now := o.Now()
	if p.began.IsZero() {
		p.began, p.next = now, firstPause
	}
	if now.Add(p.next).Sub(p.began) > o.Budget {
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
