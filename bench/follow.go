package main

import (
	"bytes"
	"context"
	"fmt"
)

// archived is what `pitr archive once` says of its result.
type archived struct {
	Entries, Bytes, Segments int64
}

// measureFollow archives a long oplog that waits for it, then looks for damage in all of it, and prices a restore.
func measureFollow(ctx context.Context, s settings) error {
	on, err := startServer(ctx, s)
	if err != nil {
		return err
	}
	defer on.stop()
	p, err := newProgram(ctx, s, on)
	if err != nil {
		return err
	}
	defer p.close()
	app, err := newApplication(ctx, s, on)
	if err != nil {
		return err
	}
	defer app.close(ctx)
	if _, _, err := p.snapshot(ctx); err != nil {
		return err
	}
	before := p.stored()
	if err := p.work(ctx, app, s.entries); err != nil {
		return err
	}
	var result archived
	cost, err := p.last(ctx, &result, "archive", "once")
	if err != nil {
		return err
	}
	if result.Entries < int64(s.entries) {
		return fmt.Errorf("%d entries were archived, %d were written", result.Entries, s.entries)
	}
	n := float64(result.Entries)
	say("archive once", "%s: %.0f entries of %.0f B in %d segments, %.0f/s, %.0f per CPU-s, ratio %.1f", cost, n, float64(result.Bytes)/n,
		result.Segments, n/cost.wall, n/cost.cpu, float64(result.Bytes)/float64(p.stored()-before))
	return p.look(ctx, n)
}

// look asks the questions of an incident about the whole archive.
func (p *program) look(ctx context.Context, entries float64) error {
	out, cost, err := p.run(ctx, "find", "--since", "1h ago", "--json")
	if err != nil {
		return err
	}
	if !bytes.Contains(out, []byte(`"candidate"`)) {
		return fmt.Errorf("find found no moment to go back to: %s", out)
	}
	say("find over all of it", "%s: %.0f entries per CPU-s", cost, entries/cost.cpu)
	_, cost, err = p.run(ctx, "restore", "--to", "mark:quiet", "--dry-run", "--json")
	if err != nil {
		return err
	}
	say("restore --dry-run, gap at the end", "%s: %.0f entries per CPU-s", cost, entries/cost.cpu)
	return nil
}

// work is ordinary life, one insert to three updates all over the first half of the collection; a mark; and then a mass
// delete in the second half.
func (p *program) work(ctx context.Context, app *application, entries int) error {
	removed := min(entries/100, len(app.ids)/2)
	for done := 0; done < entries-removed; {
		n := min(4*perCommand, entries-removed-done)
		if err := app.insert(ctx, n/4); err != nil {
			return err
		}
		if err := app.update(ctx, done%(len(app.ids)/2), n-n/4); err != nil {
			return err
		}
		done += n
	}
	if _, _, err := p.run(ctx, "mark", "quiet"); err != nil {
		return err
	}
	return app.remove(ctx, len(app.ids)/2, removed)
}
