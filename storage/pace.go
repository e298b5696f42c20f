package storage

import (
	"sync"
	"time"
)

// pace is the pause that all callers of a store keep after it asked for less traffic. Each request to slow down that comes
// after the last pause doubles the next one; each success takes one doubling back.
type pace struct {
	mu    sync.Mutex
	until time.Time
	gap   time.Duration
	level int
}

const steepest = 7 // 128 times the first pause

// slow begins a pause, or keeps the one that runs.
func (p *pace) slow(now time.Time, first time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Before(p.until) {
		return
	}
	p.gap = first << p.level
	p.until = now.Add(p.gap)
	p.level = min(p.level+1, steepest)
}

// rest is how long a caller has to wait. Those who wait for the same pause come back spread over half its length again.
func (p *pace) rest(now time.Time, random float64) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	left := p.until.Sub(now)
	if left <= 0 {
		return 0
	}
	return left + time.Duration(random*float64(p.gap)/2)
}

func (p *pace) ease() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.level = max(p.level-1, 0)
}
