package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// steps gives the step records of all jobs that say a word, by file name. The repository is a folder here, and its records
// are text for people.
func (d *demo) steps(word string) map[string]bool {
	names, _ := filepath.Glob(filepath.Join(d.folder, "repository", "jobs", "*", "steps", "*.json")) // the pattern is sound
	found := map[string]bool{}
	for _, name := range names {
		content, err := os.ReadFile(name) //nolint:gosec // the demo's own folder
		if err == nil && bytes.Contains(content, fmt.Appendf(nil, `"step": %q`, word)) {
			found[name] = true
		}
	}
	return found
}

// onStep calls do once, when a job announces a step that is in none of the records up to now. What it returns ends the
// watch, and says whether the step came.
func (d *demo) onStep(ctx context.Context, word string, do func()) (end func() bool) {
	before := d.steps(word)
	ctx, cancel := context.WithCancel(ctx)
	came := make(chan bool, 1)
	go func() {
		for ctx.Err() == nil {
			for name := range d.steps(word) {
				if !before[name] {
					do()
					came <- true
					return
				}
			}
			time.Sleep(2 * time.Millisecond)
		}
		came <- false
	}()
	return func() bool {
		cancel()
		return <-came
	}
}

// serveUntilFrozen runs a job of pitr while the clients go on. They end when the job announces its freeze: what they write
// up to the block has happened before it, and a real service would show its maintenance page from there on.
func (d *demo) serveUntilFrozen(ctx context.Context, job func() error) error {
	var stopped error
	end := d.onStep(ctx, "freeze", func() { stopped = d.stopClients() })
	err := job()
	if came := end(); err == nil && !came {
		return fmt.Errorf("the job has announced no freeze")
	}
	if err != nil {
		return err
	}
	return stopped
}

// stopClients ends the live clients, if there are any.
func (d *demo) stopClients() error {
	if d.server.live == nil {
		return nil
	}
	live := d.server.live
	d.server.live = nil
	return live.Stop()
}
