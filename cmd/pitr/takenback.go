package main

import (
	"context"

	"pitr"
	"pitr/catalog"
	"pitr/format"
	"pitr/history"
)

// jobWindows are the spans that jobs wrote in while nobody else did: what they did is no damage. A reconcile is none of
// them: the service is up meanwhile, and what it does in that span must be seen.
func jobWindows(ctx context.Context, repository *catalog.Repository) ([]pitr.Window, error) {
	timeline, err := repository.Timeline(ctx)
	if err != nil {
		return nil, err
	}
	jobs, err := repository.Jobs(ctx)
	if err != nil {
		return nil, err
	}
	shared := map[format.ID]bool{}
	for _, job := range jobs {
		shared[job.ID] = job.Intent != nil && job.Intent.Kind == format.JobReconcile
	}
	var windows []pitr.Window
	for _, line := range timeline.Lines {
		for _, job := range line.Jobs {
			if !shared[job.Job] {
				windows = append(windows, pitr.Window{After: job.First.Before(), Through: job.Last})
			}
		}
	}
	return windows, nil
}

// markTakenBack names for each event the restore that has reversed it: its gap holds the event, and no undo has brought
// the damage back.
func markTakenBack(ctx context.Context, repository *catalog.Repository, events []history.Event) error {
	jobs, err := repository.Jobs(ctx)
	if err != nil {
		return err
	}
	undone := map[format.ID]bool{}
	for _, job := range jobs {
		if job.Done() && job.Intent != nil && job.Intent.Kind == format.JobUndo {
			undone[job.Intent.Job] = true
		}
	}
	for _, job := range jobs {
		if !job.Done() || job.Intent == nil || job.Intent.Kind != format.JobRewind || job.Changes == nil || undone[job.ID] {
			continue
		}
		for i := range events {
			if job.Changes.Gap.Contains(events[i].OpTime.TS) && job.Intent.Scope.Contains(events[i].NS.KnownAs()) {
				events[i].TakenBack = string(job.ID)
			}
		}
	}
	return nil
}
