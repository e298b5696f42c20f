package oplog

import (
	"context"
	"fmt"

	"pitr"
	"pitr/catalog"
	"pitr/format"
)

// Adoption says how archiving would go on with a source that is not what was archived: the answer of a person to a refusal
// of kind conflict. It is a plain value: what was shown is what Adopt does, or it refuses.
type Adoption struct {
	// Parent is the branch that is left, Archived its newest entry.
	Parent   format.Branch
	Archived pitr.OpTime
	// Fork is the newest archived entry that the source has, too; zero where they have none in common.
	Fork format.EntryMark
	// Oldest and Newest bound what the source has.
	Oldest, Newest pitr.OpTime
	Server         pitr.Server
	// Why is what the archiver refused.
	Why string
}

// PlanAdoption looks where the source's history leaves the archived one. It refuses a source that the archiver would take
// as it is, and one that may only be behind.
func (a *Archiver) PlanAdoption(ctx context.Context) (Adoption, error) {
	const op = "adopt another history"
	plan := Adoption{Server: a.source.Server()}
	parent, ok, err := a.tip(ctx)
	if err != nil {
		return plan, err
	}
	if !ok {
		return plan, pitr.Refusef(op, "run `pitr archive run`", "the archive is empty: it begins with whatever it finds")
	}
	plan.Parent = parent
	last, _, err := a.repository.LastSegment(ctx, parent.ID)
	if err != nil {
		return plan, err
	}
	if last.Through != 0 {
		_, facts, err := a.repository.OpenSegment(ctx, parent.ID, last)
		if err != nil {
			return plan, err
		}
		plan.Archived = facts.Last.OpTime
		err = a.denial(ctx, parent, last, facts.Last)
		if err != nil && pitr.KindOf(err) != pitr.KindConflict {
			return plan, err
		}
		if err != nil {
			plan.Why = err.Error()
		}
	} else if err := a.checkWitness(ctx, parent, last); err != nil {
		plan.Why = err.Error()
	}
	if plan.Why == "" {
		return plan, pitr.Refusef(op, "run `pitr archive run`", "%s goes on with what is archived: there is nothing to adopt", plan.Server.Member)
	}
	if plan.Oldest, plan.Newest, err = a.source.OplogBounds(ctx); err != nil {
		return plan, err
	}
	fork, err := a.findFork(ctx, parent.ID)
	if err == nil && fork != nil {
		plan.Fork = format.EntryMark{OpTime: fork.At, Digest: fork.Digest}
	}
	return plan, err
}

// denial says what the archiver would refuse: nil when it would go on, with a hole at worst; kind unavailable when the source
// has not come so far yet.
func (a *Archiver) denial(ctx context.Context, branch format.Branch, last catalog.Segment, archived format.EntryMark) error {
	if err := a.checkWitness(ctx, branch, last); err != nil {
		return err
	}
	member := a.source.Server().Member
	mark, err := a.firstFrom(ctx, archived.TS)
	switch {
	case err != nil || mark == archived:
		return err
	case mark == format.EntryMark{}:
		return pitr.Errorf(pitr.KindUnavailable, "adopt another history", "wait until it has followed, or name another member",
			"%s has not come to %s yet: it may only be behind", member, archived.OpTime)
	case mark.TS == archived.TS:
		return a.denied(fmt.Sprintf("%s has another entry at %s than the archive (%s)", member, mark.OpTime, archived.OpTime))
	}
	// Only now: what was there when the first entry was read may be gone since.
	oldest, _, err := a.source.OplogBounds(ctx)
	if err == nil && oldest.TS <= archived.TS {
		err = a.denied(fmt.Sprintf("%s has entries before and after %s, but not that one", member, archived.OpTime))
	}
	return err
}

// Adopt begins a new branch where the source's history leaves the archived one, or beside it where they have nothing in
// common any more. Archiving goes on there from then on; what was archived stays. A plan that is no longer true is refused.
func (a *Archiver) Adopt(ctx context.Context, plan Adoption, reason string) (branch format.Branch, err error) {
	lease, err := a.repository.Lease(ctx, catalog.LeaseArchive, a.Lease)
	if err != nil {
		return format.Branch{}, err
	}
	defer func() {
		if released := lease.Release(ctx); err == nil {
			err = released
		}
	}()
	ctx = lease.Context(ctx)
	now, err := a.PlanAdoption(ctx)
	if err != nil {
		return format.Branch{}, err
	}
	if now.Parent.ID != plan.Parent.ID || now.Fork != plan.Fork || now.Archived != plan.Archived {
		return format.Branch{}, pitr.Refusef("adopt another history", "look again with `pitr archive adopt`", "the archive or %s has changed since the plan was made", now.Server.Member)
	}
	// Where nothing proves where the histories part the new one stands by itself, and the old one is left.
	fork := &format.Fork{Branch: plan.Parent.ID, At: plan.Fork.OpTime, Digest: plan.Fork.Digest}
	return a.newBranch(ctx, fork, reason)
}
