package main

import (
	"context"
	"fmt"
)

// measureDiff compares two snapshots by their key indexes and by reading everything, and a snapshot with the live database;
// touched documents differ.
func measureDiff(ctx context.Context, s settings) error {
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
	before, err := p.takeForDiff(ctx)
	if err != nil {
		return err
	}
	same, err := p.takeForDiff(ctx)
	if err != nil {
		return err
	}
	if err := app.damage(ctx, s.touched); err != nil {
		return err
	}
	after, err := p.takeForDiff(ctx)
	if err != nil {
		return err
	}
	for range s.runs {
		for _, each := range []struct {
			what   string
			differ int
			args   []string
		}{
			{"diff, two equal snapshots, by index", 0, []string{before, same}},
			{"diff, two snapshots, by index", s.touched, []string{before, after}},
			{"diff, two snapshots, --read-all", s.touched, []string{before, after, "--read-all"}},
			{"diff, snapshot and live", s.touched, []string{before, "live"}},
			{"diff, snapshot and live, --as-lost-set", s.touched, []string{before, "live", "--as-lost-set"}},
		} {
			cost, err := p.diff(ctx, each.differ, each.args)
			if err != nil {
				return fmt.Errorf("%s: %w", each.what, err)
			}
			say(each.what, "%s: %.0f documents/s", cost, float64(s.documents)/cost.wall)
		}
	}
	return nil
}

func (p *program) takeForDiff(ctx context.Context) (string, error) {
	var result struct{ ID string }
	_, err := p.last(ctx, &result, "snapshot", "take")
	return result.ID, err
}

// diff runs one comparison, which must find so many differences.
func (p *program) diff(ctx context.Context, differ int, args []string) (usage, error) {
	var result struct {
		Records map[string]int
		Touched int
	}
	cost, err := p.last(ctx, &result, append([]string{"diff", "--summary"}, args...)...)
	found := result.Touched
	for _, n := range result.Records {
		found += n
	}
	if err == nil && found != differ {
		err = fmt.Errorf("%d differences were found, %d were made", found, differ)
	}
	return cost, err
}
