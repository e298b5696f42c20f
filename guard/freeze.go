package guard

import (
	"context"
	"fmt"
	"time"

	"pitr"
	"pitr/oplog"
)

// Way is how the writes of others are kept away while a job writes.
type Way string

// The ways.
const (
	// WayBlock is the server's write block.
	WayBlock Way = "write block"
	// WayQuiet is the proof that nobody has written for a while, and the watch for the first who does.
	WayQuiet Way = "proven quiet"
)

// ChooseWay decides by what the cluster says about its block, and gives the reason in words.
func ChooseWay(block pitr.WriteBlock) (Way, string) {
	if block.Usable() {
		return WayBlock, "our login may block the writes of others and pass the block"
	}
	return WayQuiet, block.Missing
}

// blockNamespace holds the server's record of the block: switching it on inserts a document, switching it off deletes it.
var blockNamespace = pitr.Namespace{DB: "config", Collection: "user_writes_critical_sections"}

// FreezeOptions are what a freeze needs besides its cluster.
type FreezeOptions struct {
	// After is the newest entry that is known (archived): everything later is looked at.
	After pitr.OpTime
	Scope pitr.Scope
	// Announce publishes that the freeze begins: the first entry of a block of ours is later than the optime that it is
	// given. It is called before anything is switched.
	Announce func(context.Context, pitr.OpTime) error
	// Quiet is how long nobody may write for proven quiet, 30 s when zero; Patience how long to try, 5 minutes when zero.
	Quiet, Patience time.Duration
	// Now and Sleep are the clock.
	Now   func() time.Time
	Sleep func(context.Context, time.Duration) error
}

func (o FreezeOptions) withDefaults() FreezeOptions {
	if o.Quiet <= 0 {
		o.Quiet = 30 * time.Second
	}
	if o.Patience <= 0 {
		o.Patience = 5 * time.Minute
	}
	if o.Now == nil {
		o.Now = time.Now //nolint:forbidigo // the default of a clock that is handed in
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	return o
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Freeze keeps the writes of others away and gives F: no entry of others in scope is later, unless a watch says so. A
// block that stands already is somebody else's and refused. When Freeze fails after its announcement, a block may stand
// all the same: Lift tells.
func Freeze(ctx context.Context, target Target, way Way, options FreezeOptions) (pitr.OpTime, error) {
	options = options.withDefaults()
	block, err := target.WriteBlock(ctx)
	if err != nil {
		return pitr.OpTime{}, fmt.Errorf("ask about the write block: %w", err)
	}
	if block.Standing {
		return pitr.OpTime{}, pitr.Refusef("freeze",
			"find out who blocks the writes of this cluster; only they should lift it", "a write block stands that this job did not set")
	}
	newest, err := Newest(ctx, target, options.After)
	if err != nil {
		return pitr.OpTime{}, err
	}
	if err := options.Announce(ctx, newest); err != nil {
		return pitr.OpTime{}, fmt.Errorf("announce the freeze: %w", err)
	}
	if way == WayBlock {
		return freezeByBlock(ctx, target, newest, options)
	}
	return freezeByQuiet(ctx, target, newest, options)
}

// Newest gives the newest entry of the oplog that can be read, which is after itself when nothing follows it. The entry
// at after must still be there.
func Newest(ctx context.Context, reader Reader, after pitr.OpTime) (pitr.OpTime, error) {
	for raw, err := range reader.Entries(ctx, after.TS) {
		if err != nil {
			return after, fmt.Errorf("read the newest entries: %w", err)
		}
		entry, err := oplog.Decode(raw)
		if err != nil {
			return after, err
		}
		after = entry.OpTime
	}
	return after, nil
}

func freezeByBlock(ctx context.Context, target Target, announced pitr.OpTime, options FreezeOptions) (pitr.OpTime, error) {
	deadline := options.Now().Add(options.Patience)
	for pause := time.Second; ; pause = min(2*pause, 10*time.Second) {
		err := target.BlockWrites(ctx)
		if err == nil {
			break
		}
		// Open transactions keep the server from switching; it gives up by itself.
		if pitr.KindOf(err) != pitr.KindUnavailable || options.Now().After(deadline) {
			return pitr.OpTime{}, fmt.Errorf("block the writes of users: %w", err)
		}
		if err := options.Sleep(ctx, pause); err != nil {
			return pitr.OpTime{}, err
		}
	}
	// The entry can be read once a majority has it.
	for {
		f, ours, err := FindBlock(ctx, target, announced)
		switch {
		case err != nil || ours:
			return f, err
		case !f.IsZero() || options.Now().After(deadline):
			return pitr.OpTime{}, pitr.Refusef("freeze", "find out who else blocks the writes of this cluster",
				"the write block was switched by somebody else at the same time")
		}
		if err := options.Sleep(ctx, time.Second/4); err != nil {
			return pitr.OpTime{}, err
		}
	}
}

// FindBlock looks for the block that was set after the announcement of a freeze, and gives the entry that set it. It
// reports false when there is none, or when it was lifted since: a block that stands all the same is not the job's.
func FindBlock(ctx context.Context, reader Reader, announced pitr.OpTime) (pitr.OpTime, bool, error) {
	var set pitr.OpTime
	ours := false
	for raw, err := range reader.Entries(ctx, announced.TS) {
		if err != nil {
			return pitr.OpTime{}, false, fmt.Errorf("look for the write block: %w", err)
		}
		entry, err := oplog.Decode(raw)
		if err != nil {
			return pitr.OpTime{}, false, err
		}
		if entry.NS != blockNamespace {
			continue
		}
		switch {
		case entry.Kind == oplog.KindDelete:
			ours = false
		case set.IsZero():
			set, ours = entry.OpTime, true
		}
	}
	return set, ours, nil
}

// freezeByQuiet waits until nobody has written in scope for the whole time of quiet. The end of that time is F.
func freezeByQuiet(ctx context.Context, target Target, announced pitr.OpTime, options FreezeOptions) (pitr.OpTime, error) {
	began := options.Now()
	quietSince, f := began, announced
	var last pitr.Namespace
	for {
		busy, newest, err := readQuiet(ctx, target, f, options.Scope)
		if err != nil {
			return pitr.OpTime{}, err
		}
		now := options.Now()
		f = newest
		if !busy.IsZero() {
			quietSince, last = now, busy
		}
		switch {
		case now.Sub(quietSince) >= options.Quiet:
			return f, nil
		case now.Sub(began) >= options.Patience:
			return pitr.OpTime{}, pitr.Refusef("wait for quiet",
				"stop the applications that write, or give the restore user the role restore so that pitr can block them",
				"somebody went on writing to %s; nobody may write for %s", last, options.Quiet)
		}
		if err := options.Sleep(ctx, min(time.Second, options.Quiet/4)); err != nil {
			return pitr.OpTime{}, err
		}
	}
}

// readQuiet reads what is new, names a namespace in scope that was written to, and gives the newest entry.
func readQuiet(ctx context.Context, reader Reader, after pitr.OpTime, scope pitr.Scope) (busy pitr.Namespace, newest pitr.OpTime, err error) {
	newest = after
	for raw, err := range reader.Entries(ctx, after.TS) {
		if err != nil {
			return busy, newest, fmt.Errorf("wait for quiet: %w", err)
		}
		entry, err := oplog.Decode(raw)
		if err != nil {
			return busy, newest, err
		}
		ops, err := entry.Operations()
		if err != nil {
			return busy, newest, err
		}
		for _, op := range ops {
			if touches(op, scope) {
				busy = op.NS
			}
		}
		newest = entry.OpTime
	}
	return busy, newest, nil
}

// Lift ends the block that was set after the announcement, and reports whether there was one to end. It never lifts a
// block of somebody else: that is refused.
func Lift(ctx context.Context, target Target, announced pitr.OpTime) (bool, error) {
	block, err := target.WriteBlock(ctx)
	if err != nil {
		return false, fmt.Errorf("ask about the write block: %w", err)
	}
	if !block.Standing {
		return false, nil
	}
	_, ours, err := FindBlock(ctx, target, announced)
	if err != nil {
		return false, err
	}
	if !ours {
		return false, pitr.Refusef("lift the write block", "find out who blocks the writes of this cluster; only they should lift it",
			"the write block that stands is not this job's")
	}
	if err := target.UnblockWrites(ctx); err != nil {
		return false, fmt.Errorf("lift the write block: %w", err)
	}
	return true, nil
}
