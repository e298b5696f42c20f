package doctor

import (
	"context"
	"errors"
	"time"

	"pitr"
	"pitr/catalog"
	"pitr/format"
)

// Login is what is known of one connection string. Err is why nothing else is.
type Login struct {
	Err    error
	Server pitr.Server
	// Missing are the rights that it lacks, each with the role that has it.
	Missing []string
	// Asked is when the server told its clock, by ours.
	Asked time.Time
}

// Source is the cluster as the login for reading sees it.
type Source interface {
	OplogBounds(ctx context.Context) (oldest, newest pitr.OpTime, err error)
}

// Target is the cluster as the login for writing sees it.
type Target interface {
	WriteBlock(ctx context.Context) (pitr.WriteBlock, error)
}

// Subjects are what is examined. A nil Repository, Source or Target could not be opened, for the reason beside it.
type Subjects struct {
	Repository    *catalog.Repository
	RepositoryErr error
	Reading       Login
	Source        Source
	// Restoring says that the login for writing is examined, too.
	Restoring bool
	Writing   Login
	Target    Target
	// Host is this machine: only what it wrote itself tells how its clock and the store's differ.
	Host string
	// Retention is the setting that says what is kept; empty where nothing is set.
	Retention string
	Now       time.Time
}

// Oplog is what the server still has.
type Oplog struct {
	Err            error
	Oldest, Newest pitr.OpTime
}

// Block is what the login for writing can do about the write block.
type Block struct {
	Err error
	pitr.WriteBlock
}

// Facts are everything that the findings follow from.
type Facts struct {
	Subjects
	Header   format.Header
	Timeline catalog.Timeline
	// Problem is the first thing that could not be read in the repository.
	Problem   error
	Branch    format.Branch
	Snapshots []format.Manifest
	Leases    []catalog.LeaseState
	Jobs      []catalog.Job
	Marks     []format.Mark
	Condemned []format.Condemned
	Oplog     Oplog
	Block     Block
	// StoreAhead is how far the store's clock is ahead of this machine's, as far as an object tells that this machine wrote.
	StoreAhead time.Duration
	StoreKnown bool
}

// Look gathers the facts. It fails only where the context ends.
func Look(ctx context.Context, s Subjects) (Facts, error) {
	f := Facts{Subjects: s}
	if s.Repository != nil {
		f.Header = s.Repository.Header()
		f.Problem = f.readRepository(ctx)
	}
	if s.Source != nil && s.Reading.Err == nil && s.Reading.Server.Ability == pitr.AbilityFull {
		f.Oplog.Oldest, f.Oplog.Newest, f.Oplog.Err = s.Source.OplogBounds(ctx)
	}
	if s.Target != nil && s.Writing.Err == nil {
		f.Block.WriteBlock, f.Block.Err = s.Target.WriteBlock(ctx)
	}
	if ctx.Err() != nil {
		return f, &pitr.Error{Kind: pitr.KindInterrupted, Op: "examine", Err: context.Cause(ctx)}
	}
	return f, nil
}

func (f *Facts) readRepository(ctx context.Context) error {
	var problems []error
	note := func(err error) {
		if err != nil {
			problems = append(problems, err)
		}
	}
	var err error
	f.Timeline, err = f.Repository.Timeline(ctx)
	note(err)
	snapshots, err := f.Repository.Snapshots(ctx)
	note(err)
	f.Snapshots = snapshots.Items
	f.Leases, err = f.Repository.Leases(ctx)
	note(err)
	f.Jobs, err = f.Repository.Jobs(ctx)
	note(err)
	marks, err := f.Repository.Marks(ctx)
	note(err)
	f.Marks = marks.Items
	condemned, err := f.Repository.Condemned(ctx)
	note(err)
	f.Condemned = condemned.Items
	branches, err := f.Repository.Branches(ctx)
	note(err)
	for _, branch := range branches.Items {
		if branch.ID == f.Timeline.Tip() {
			f.Branch = branch
		}
	}
	note(f.compareClocks(ctx))
	return errors.Join(problems...)
}

// compareClocks finds the newest object whose own time and whose time in the store can be compared: a snapshot's manifest
// or a job's result that this machine wrote, which are put as soon as they are made.
func (f *Facts) compareClocks(ctx context.Context) error {
	var newest time.Time
	var object format.Name
	for _, m := range f.Snapshots {
		if m.Finished.After(newest) && onHost(m.Operator, f.Host) {
			name, err := format.ManifestName(m.ID)
			if err != nil {
				return err
			}
			newest, object = m.Finished, name
		}
	}
	if object.IsZero() {
		return nil
	}
	stored, err := f.Repository.Stat(ctx, object)
	if err != nil {
		return err
	}
	if !stored.Modified.IsZero() {
		f.StoreAhead, f.StoreKnown = stored.Modified.Sub(newest), true
	}
	return nil
}

// onHost reports whether an operator is user@host of this host.
func onHost(operator, host string) bool {
	return host != "" && len(operator) > len(host) && operator[len(operator)-len(host)-1:] == "@"+host
}
