package catalog

import "time"

// Clock is what a lease knows about time. It needs two kinds of it, because each one alone can hide that a lease is over.
type Clock interface {
	// Wall is the time of day. People and time servers change it.
	Wall() time.Time
	// Steady is the time since some fixed moment. It never jumps, and may stand still while the machine sleeps.
	Steady() time.Duration
	// After sends once when so much steady time has passed.
	After(d time.Duration) <-chan time.Time
}

// systemClock is the machine's clock: Go's readings carry the monotonic clock, and lose it when rounded.
type systemClock struct{ start time.Time }

func newSystemClock() systemClock {
	return systemClock{start: time.Now()} //nolint:forbidigo // the default of a clock that is handed in
}

func (c systemClock) Wall() time.Time {
	return time.Now().Round(0) //nolint:forbidigo // the default of a clock that is handed in
}

func (c systemClock) Steady() time.Duration {
	return time.Since(c.start) //nolint:forbidigo // the default of a clock that is handed in
}

func (c systemClock) After(d time.Duration) <-chan time.Time { return time.After(d) }

// instant is one moment on both clocks.
type instant struct {
	wall   time.Time
	steady time.Duration
}

func now(c Clock) instant { return instant{wall: c.Wall(), steady: c.Steady()} }

// since is the longer of what the two clocks say: neither a sleep nor a clock that was put back makes it too short.
func (i instant) since(c Clock) time.Duration {
	return max(c.Wall().Sub(i.wall), c.Steady()-i.steady)
}
