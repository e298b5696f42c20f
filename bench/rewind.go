package main

import (
	"context"
	"errors"
	"fmt"
)

// measureRewind rewinds a damage of some documents in a larger database, with the archiver running as it does in real life.
func measureRewind(ctx context.Context, s settings) error {
	for range s.runs {
		if err := rewindOnce(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func rewindOnce(ctx context.Context, s settings) error {
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
	archiver, err := p.start(ctx, "archive", "run")
	if err != nil {
		return err
	}
	cost, err := p.rewind(ctx, s, app)
	archived, stopErr := archiver.stop()
	if err := errors.Join(err, stopErr); err != nil {
		return err
	}
	say("  the archiver meanwhile", "%s", archived)
	say("rewind", "%s: %d documents of %d", cost, s.touched, s.documents)
	return nil
}

// rewind damages the database, restores it, and compares every document with the one before.
func (p *program) rewind(ctx context.Context, s settings, app *application) (usage, error) {
	taken, _, err := p.snapshot(ctx)
	if err != nil {
		return usage{}, err
	}
	say("  the snapshot to begin with", "%s", taken)
	if err := app.update(ctx, len(app.ids)/2, s.backlog); err != nil {
		return usage{}, err
	}
	before, err := app.sum(ctx)
	if err != nil {
		return usage{}, err
	}
	if _, _, err := p.run(ctx, "mark", "good"); err != nil {
		return usage{}, err
	}
	if err := app.damage(ctx, s.touched); err != nil {
		return usage{}, err
	}
	var intent struct {
		Touched map[string]int `json:"touched"`
	}
	dry, err := p.last(ctx, &intent, "restore", "--to", "mark:good", "--dry-run")
	if err != nil {
		return usage{}, err
	}
	say("  restore --dry-run", "%s: %v", dry, intent.Touched)
	_, cost, err := p.run(ctx, "restore", "--to", "mark:good", "--confirm-target", clusterName)
	if err != nil {
		return cost, err
	}
	after, err := app.sum(ctx)
	if err == nil && !after.Equal(before) {
		err = fmt.Errorf("the database is not what it was: %v instead of %v", after, before)
	}
	return cost, err
}

// damage touches documents all over the collection: most are changed, some deleted, some made.
func (a *application) damage(ctx context.Context, touched int) error {
	removed, made := touched/10, touched/10
	changed := touched - removed - made
	step := len(a.ids) / 10
	for part := range 10 {
		if err := a.update(ctx, part*step, changed/10); err != nil {
			return err
		}
		if err := a.remove(ctx, part*step+step/2, removed/10); err != nil {
			return err
		}
	}
	return a.insert(ctx, made)
}

// snapshot takes one and gives its line.
func (p *program) snapshot(ctx context.Context) (usage, taken, error) {
	var result taken
	cost, err := p.last(ctx, &result, "snapshot", "take")
	return cost, result, err
}
