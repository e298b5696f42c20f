package main

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// soon is when a run that has not got on says what it waits for: a person who sees nothing presses the key again.
const soon = 60 * time.Millisecond

// waitingFor says what the run waits for, if that is not over soon. The function that it returns ends the wait.
func (run *session) waitingFor(what string) (over func()) {
	if run.json {
		return func() {}
	}
	timer := time.AfterFunc(soon, func() { fmt.Fprintf(run.err, "waiting for %s\n", printable(what)) })
	return func() { timer.Stop() }
}

// shared lets several goroutines talk: a line is written in one piece.
type shared struct {
	mu sync.Mutex
	to io.Writer
}

// Write passes on when nobody else does.
func (s *shared) Write(content []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.to.Write(content)
}
