package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"pitr"
)

// How often progress is shown: on a terminal as a moving line, elsewhere as a line now and then.
const (
	movingInterval = 200 * time.Millisecond
	plainInterval  = 30 * time.Second
)

// progress shows how far a job is, with rate and time left, on the talk stream.
type progress struct {
	to       io.Writer
	moving   bool
	width    int
	now      func() time.Time
	interval time.Duration

	mu      sync.Mutex
	started time.Time
	shown   time.Time
	parts   map[string]*part
	drawn   bool
}

type part struct {
	total, done pitr.Amount
	finished    bool
}

// newProgress gives the progress of a run; nobody hears it where JSON was asked for and no terminal is there.
func newProgress(run *session) *progress {
	p := &progress{to: run.err, moving: run.fancy, width: run.width, now: run.now, interval: plainInterval,
		parts: map[string]*part{}}
	if p.moving {
		p.interval = movingInterval
	}
	if run.calm {
		p.to = io.Discard
	}
	p.started = p.now()
	p.shown = p.started
	return p
}

// Start begins a part.
func (p *progress) Start(name string, total pitr.Amount) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.parts[name] = &part{total: total}
	p.show(name)
}

// Advance adds to a part.
func (p *progress) Advance(name string, done pitr.Amount) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if current := p.parts[name]; current != nil {
		current.done.Count += done.Count
		current.done.Bytes += done.Bytes
	}
	p.show(name)
}

// Finish ends a part.
func (p *progress) Finish(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if current := p.parts[name]; current != nil {
		current.finished = true
		current.total = current.done
	}
	p.show(name)
}

// Clear removes the moving line before something else is printed.
func (p *progress) Clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.drawn {
		fmt.Fprintf(p.to, "\r%s\r", strings.Repeat(" ", p.width-1))
		p.drawn = false
	}
}

func (p *progress) show(name string) {
	now := p.now()
	if now.Sub(p.shown) < p.interval {
		return
	}
	p.shown = now
	line := p.line(name, now.Sub(p.started))
	if !p.moving {
		fmt.Fprintln(p.to, line)
		return
	}
	if len(line) > p.width-1 {
		line = line[:p.width-1]
	}
	fmt.Fprintf(p.to, "\r%-*s", p.width-1, line)
	p.drawn = true
}

// line is the present part and the sum of all: "shop.orders 1,200 of 5,000, all 24 %, 80 MB/s, 0:12 left".
func (p *progress) line(name string, elapsed time.Duration) string {
	var total, done pitr.Amount
	for _, each := range slices.Sorted(maps.Keys(p.parts)) {
		total.Count += p.parts[each].total.Count
		total.Bytes += p.parts[each].total.Bytes
		done.Count += p.parts[each].done.Count
		done.Bytes += p.parts[each].done.Bytes
	}
	current := p.parts[name]
	words := []string{printable(name) + " " + countOf(current.done.Count, current.total.Count)}
	fraction := share(done, total)
	if fraction > 0 && fraction <= 1 {
		words = append(words, fmt.Sprintf("all %d %%", int(100*fraction)))
	}
	if seconds := elapsed.Seconds(); seconds > 0.5 {
		if done.Bytes > 0 {
			words = append(words, fmt.Sprintf("%.0f MB/s", float64(done.Bytes)/1e6/seconds))
		} else {
			words = append(words, fmt.Sprintf("%.0f/s", float64(done.Count)/seconds))
		}
		if fraction > 0.02 && fraction < 1 {
			left := time.Duration(seconds * (1 - fraction) / fraction * float64(time.Second))
			words = append(words, fmt.Sprintf("%d:%02d left", int(left.Minutes()), int(left.Seconds())%60))
		}
	}
	return strings.Join(words, ", ")
}

// share is how much of the known total is done, by bytes where bytes are known.
func share(done, total pitr.Amount) float64 {
	switch {
	case total.Bytes > 0:
		return float64(done.Bytes) / float64(total.Bytes)
	case total.Count > 0:
		return float64(done.Count) / float64(total.Count)
	}
	return 0
}

func countOf(done, total int64) string {
	if total <= 0 || done > total {
		return grouped(done)
	}
	return grouped(done) + " of " + grouped(total)
}

// grouped writes a number with commas between thousands.
func grouped(n int64) string {
	digits := fmt.Sprint(n)
	start := len(digits) % 3
	var parts []string
	if start > 0 && digits[:start] != "-" {
		parts = append(parts, digits[:start])
	} else if start > 0 {
		return "-" + grouped(-n)
	}
	for ; start < len(digits); start += 3 {
		parts = append(parts, digits[start:start+3])
	}
	return strings.Join(parts, ",")
}
