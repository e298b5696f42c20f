package doctor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"pitr"
	"pitr/catalog"
	"pitr/format"
)

// Level says how good a finding is.
type Level string

// The levels.
const (
	Good    Level = "good"
	Warning Level = "warning"
	Bad     Level = "bad"
)

// Finding is what one check found.
type Finding struct {
	// Check is the name of the check, such as "oplog window".
	Check string `json:"check"`
	Level Level  `json:"level"`
	// What says what was found, Next what to do about it, a command where there is one.
	What string `json:"what"`
	Next string `json:"next,omitempty"`
	// Kind gives a bad finding its exit code.
	Kind pitr.Kind `json:"-"`
}

// The bounds between good and not.
const (
	// shortWindow is an oplog that would not last over a night.
	shortWindow = 24 * time.Hour
	// lateArchive is how far behind a running archiver may be.
	lateArchive = 10 * time.Minute
	// oldSnapshot is a daily snapshot that did not come.
	oldSnapshot = 26 * time.Hour
	// clockApart is a difference of clocks that makes times of people and of the server disagree.
	clockApart = 5 * time.Second
	// storeApart is the same for the store, whose objects are made a little after the time they tell.
	storeApart = time.Minute
	// silentLease is a holder that has not renewed for longer than anybody may.
	silentLease = 2 * catalog.LeaseTTL
	// oldList is a list of condemned objects that prune should have worked off.
	oldList = 48 * time.Hour
	// soonExpired is a mark that is about to stop holding the archive.
	soonExpired = 48 * time.Hour
)

// steps of jobs as package restore names them.
const (
	stepFreeze   = "freeze"
	stepWrite    = "write"
	stepUnfrozen = "unfrozen"
)

// Judge makes findings of facts, in the order in which a person would mend things.
func Judge(f Facts) []Finding {
	var found []Finding
	for _, check := range []func(Facts) []Finding{judgeRepository, judgeReading, judgeWriting, judgeClocks, judgeOplog, judgeArchiver,
		judgeReach, judgeSnapshots, judgeLeases, judgeJobs, judgeMarks, judgeCare} {
		found = append(found, check(f)...)
	}
	return found
}

// Verdict is the error of the first bad finding, nil where there is none.
func Verdict(found []Finding) error {
	bad := slices.DeleteFunc(slices.Clone(found), func(f Finding) bool { return f.Level != Bad })
	if len(bad) == 0 {
		return nil
	}
	first := bad[0]
	return pitr.Errorf(first.Kind, "examine", cmp.Or(first.Next, "run `pitr doctor` again when it is mended"),
		"%d of %d checks are bad, the first: %s: %s", len(bad), len(found), first.Check, first.What)
}

func good(check, what string, args ...any) Finding {
	return Finding{Check: check, Level: Good, What: fmt.Sprintf(what, args...)}
}

func warning(check, next, what string, args ...any) Finding {
	return Finding{Check: check, Level: Warning, What: fmt.Sprintf(what, args...), Next: next}
}

func bad(check string, err error) Finding {
	return Finding{Check: check, Level: Bad, What: err.Error(), Next: pitr.HintOf(err), Kind: pitr.KindOf(err)}
}

func judgeRepository(f Facts) []Finding {
	const check = "repository"
	if f.Repository == nil {
		return []Finding{bad(check, f.RepositoryErr)}
	}
	found := []Finding{good(check, "of cluster %s, made %s", f.Header.ClusterName, f.Header.Created.UTC().Format(time.DateOnly))}
	if f.Problem != nil {
		found[0] = bad(check, f.Problem)
	}
	for _, damaged := range f.Timeline.Damaged {
		found = append(found, bad(check, pitr.Errorf(pitr.KindOf(damaged.Err), "", "`pitr verify` shows everything that is damaged",
			"%s cannot be used: %w", damaged.Object, damaged.Err)))
	}
	switch store := f.Header.Store; {
	case store.SingleWriter:
		found = append(found, warning("store", "let only one machine run pitr, or move to a store with conditional create",
			"it does not refuse to replace an object; somebody promised a single writer"))
	case !store.ConditionalCreate:
		found = append(found, warning("store", "", "nobody has tried whether it refuses to replace an object"))
	default:
		found = append(found, good("store", "it refuses to replace an object"))
	}
	if f.Header.Store.Kind == "s3" && !f.Header.Store.ObjectLock {
		found = append(found, warning("store", "turn on versioning and Object Lock of the bucket",
			"no Object Lock was seen at init: whoever owns the bucket can remove evidence"))
	}
	return found
}

func judgeReading(f Facts) []Finding {
	const check = "cluster"
	login := f.Reading
	if login.Err != nil {
		return []Finding{bad(check, login.Err)}
	}
	server := login.Server
	found := []Finding{good(check, "%s answers, MongoDB %s", server.Member, server.Version)}
	switch {
	case server.Ability != pitr.AbilityFull:
		found = append(found, bad(check, pitr.Errorf(pitr.KindUnsupported, "",
			"snapshots, diff and copy work; everything else needs a replica set of MongoDB 4.4 or later", "it has no usable oplog: there are no moments to go back to")))
	case server.FCV != "" && !strings.HasPrefix(server.Version, server.FCV+"."):
		found = append(found, warning(check, "finish the upgrade: no restore goes across a change of it", "its feature compatibility version is %s", server.FCV))
	}
	if len(server.Hosts) == 1 {
		found = append(found, warning(check, "", "the set %s has one member: with it everything is down", server.Set))
	}
	found = append(found, judgeRights("uri rights", login, "backup and clusterMonitor")...)
	return append(found, judgeIdentity(f, "cluster", server)...)
}

// judgeRights names each right that is missing.
func judgeRights(check string, login Login, roles string) []Finding {
	if !login.Server.Authenticated {
		return []Finding{warning(check, "turn on access control", "the server asks nobody who they are: the write block cannot be passed either")}
	}
	if len(login.Missing) == 0 {
		return []Finding{good(check, "all there (roles %s)", roles)}
	}
	var found []Finding
	for _, right := range login.Missing {
		found = append(found, bad(check, pitr.Errorf(pitr.KindDenied, "", "grant the roles "+roles, "it lacks %s", right)))
	}
	return found
}

// judgeIdentity tells a cluster that is not the repository's.
func judgeIdentity(f Facts, check string, server pitr.Server) []Finding {
	if f.Branch.SetID == "" || server.SetID == "" || f.Branch.SetID == server.SetID {
		return nil
	}
	return []Finding{bad(check, pitr.Refusef("", "check the connection string, or --repo",
		"it is not the cluster of the repository: set id %s, archived is %s", server.SetID, f.Branch.SetID))}
}

func judgeWriting(f Facts) []Finding {
	if !f.Restoring {
		return nil
	}
	const check, roles = "restore login", "restore, readWriteAnyDatabase and clusterMonitor"
	if f.Writing.Err != nil {
		return []Finding{bad(check, f.Writing.Err)}
	}
	server := f.Writing.Server
	found := []Finding{good(check, "it gets in at %s", server.Member)}
	// Without the rights of the write block a restore goes on by proven quiet, so they are no reason to stop.
	login, block := f.Writing, []string(nil)
	login.Missing = slices.DeleteFunc(slices.Clone(login.Missing), func(right string) bool {
		isBlock := strings.HasPrefix(right, "setUserWriteBlockMode ") || strings.HasPrefix(right, "bypassWriteBlockingMode ")
		if isBlock {
			block = append(block, right)
		}
		return isBlock
	})
	found = append(found, judgeRights("restore rights", login, roles)...)
	if f.Reading.Err == nil && f.Reading.Server.SetID != "" && server.SetID != "" && f.Reading.Server.SetID != server.SetID {
		found = append(found, bad(check, pitr.Refusef("", "check both connection strings", "uri and restore_uri lead to two different clusters")))
	}
	const quiet = "stop all writers yourself: without the block a restore waits for 30 s of proven quiet"
	switch {
	case f.Block.Err != nil:
		return append(found, bad("write block", f.Block.Err))
	case f.Block.Standing:
		return append(found, bad("write block", pitr.Refusef("", "`pitr jobs` shows whether a stopped job left it", "a write block stands: users cannot write")))
	case f.Block.Usable():
		return append(found, good("write block", "this login can set it and pass it"))
	}
	for _, right := range block {
		found = append(found, warning("write block", quiet, "restore_uri lacks %s", right))
	}
	if len(block) == 0 {
		found = append(found, warning("write block", quiet, "%s", cmp.Or(f.Block.Missing, "it cannot be used")))
	}
	return found
}

func judgeClocks(f Facts) []Finding {
	const check = "clocks"
	var found []Finding
	if apart := f.Reading.Server.Clock.Sub(f.Reading.Asked); f.Reading.Err == nil && !f.Reading.Server.Clock.IsZero() && apart.Abs() > clockApart {
		found = append(found, warning(check, "set the clock of this machine, or of the server", "the server's clock is %s %s this machine's", span(apart), aheadOf(apart)))
	}
	if f.StoreKnown && f.StoreAhead.Abs() > storeApart {
		found = append(found, warning(check, "set the clock of this machine, or of the store", "the store's clock is %s %s this machine's", span(f.StoreAhead), aheadOf(f.StoreAhead)))
	}
	if len(found) > 0 {
		return found
	}
	switch {
	case f.Reading.Err == nil && f.StoreKnown:
		return []Finding{good(check, "server, store and this machine agree")}
	case f.Reading.Err == nil:
		return []Finding{good(check, "server and this machine agree; of the store's nothing tells yet")}
	}
	return nil
}

func aheadOf(d time.Duration) string {
	if d < 0 {
		return "behind"
	}
	return "ahead of"
}

// archived gives the newest archived moment, 0 where the archive is empty.
func archived(f Facts) pitr.Timestamp {
	windows := f.Timeline.Windows(f.Timeline.Tip())
	if len(windows) == 0 {
		return 0
	}
	return windows[len(windows)-1].Through
}

func judgeOplog(f Facts) []Finding {
	const check = "oplog window"
	switch {
	case f.Reading.Err != nil || f.Reading.Server.Ability != pitr.AbilityFull:
		return nil
	case f.Oplog.Err != nil:
		return []Finding{bad(check, f.Oplog.Err)}
	}
	window := f.Oplog.Newest.TS.Time().Sub(f.Oplog.Oldest.TS.Time())
	at := archived(f)
	switch {
	case f.Repository == nil || at == 0:
	case at < f.Oplog.Oldest.TS:
		return []Finding{bad(check, pitr.Errorf(pitr.KindHole, "", "run `pitr snapshot take` now, and keep `pitr archive run` running",
			"it begins at %s, behind the end of the archive at %s: what lies between is lost", clock(f.Oplog.Oldest.TS), clock(at)))}
	case f.Oplog.Newest.TS.Time().Sub(at.Time()) > window/2 && f.Oplog.Newest.TS.Time().Sub(at.Time()) > lateArchive:
		return []Finding{warning(check, "run `pitr archive once` now", "the archive is %s behind and the oplog reaches back %s: a hole is near",
			span(f.Oplog.Newest.TS.Time().Sub(at.Time())), span(window))}
	}
	if window < shortWindow {
		return []Finding{warning(check, "make the oplog larger, or make sure that `pitr archive run` never stops that long",
			"it reaches back %s only: an archiver that stands longer leaves a hole", span(window))}
	}
	return []Finding{good(check, "it reaches back %s", span(window))}
}

func judgeArchiver(f Facts) []Finding {
	const check = "archiver"
	if f.Repository == nil {
		return nil
	}
	at := archived(f)
	if at == 0 {
		return []Finding{warning(check, "run `pitr archive run` as a service", "the archive is empty")}
	}
	behind := f.Now.Sub(at.Time())
	if f.Oplog.Err == nil && !f.Oplog.Newest.IsZero() {
		behind = f.Oplog.Newest.TS.Time().Sub(at.Time())
	}
	behind = max(behind, 0)
	lease, held := leaseNamed(f, catalog.LeaseArchive)
	switch {
	case !held:
		return []Finding{warning(check, "run `pitr archive run` as a service", "nobody is archiving; the archive is %s behind", span(behind))}
	case silent(f, lease):
		return []Finding{warning(check, "look after `pitr archive run` on "+lease.Record.Host, "%s has shown no sign of life for %s; the archive is %s behind",
			lease.Owner(), span(f.storeNow().Sub(lease.Modified)), span(behind))}
	case behind > lateArchive:
		return []Finding{warning(check, "look at what `pitr archive run` prints", "%s is archiving, and %s behind", lease.Owner(), span(behind))}
	}
	return []Finding{good(check, "%s, %s behind", lease.Owner(), span(behind))}
}

func leaseNamed(f Facts, name string) (catalog.LeaseState, bool) {
	for _, lease := range f.Leases {
		if lease.Object.Lease() == name && lease.Held() {
			return lease, true
		}
	}
	return catalog.LeaseState{}, false
}

// storeNow is the time by the store's clock, as far as that is known.
func (f Facts) storeNow() time.Time {
	if f.StoreKnown && f.StoreAhead.Abs() > storeApart {
		return f.Now.Add(f.StoreAhead)
	}
	return f.Now
}

// silent reports whether the holder of a lease has not renewed it for longer than anybody may hold it.
func silent(f Facts, lease catalog.LeaseState) bool {
	return f.storeNow().Sub(lease.Modified) > silentLease
}

func judgeReach(f Facts) []Finding {
	if f.Repository == nil || f.Problem != nil {
		return nil
	}
	const check = "moments"
	tip := f.Timeline.Tip()
	var found []Finding
	stretches := f.Timeline.Reachable(tip, pitr.Scope{})
	if len(stretches) == 0 {
		found = append(found, bad(check, pitr.Errorf(pitr.KindHole, "", "run `pitr snapshot take`: moments from then on can be reached, those before it stay out of reach", "no moment can be reached")))
	} else {
		last := stretches[len(stretches)-1]
		found = append(found, good(check, "reachable from %s to %s", clock(last.First), clock(last.Last)))
	}
	holes := f.Timeline.Holes(tip)
	for _, hole := range holes[max(0, len(holes)-3):] {
		found = append(found, warning("hole", "`pitr timeline` shows what can be reached", "no moment of %s to %s: %s", clock(hole.After), clock(hole.Through), hole.Reason))
	}
	return found
}

func judgeSnapshots(f Facts) []Finding {
	const check = "last snapshot"
	if f.Repository == nil || f.Problem != nil {
		return nil
	}
	if len(f.Snapshots) == 0 {
		return []Finding{warning(check, "run `pitr snapshot take`, and have cron do it daily", "there is none")}
	}
	newest := f.Snapshots[0]
	for _, m := range f.Snapshots {
		if m.Finished.After(newest.Finished) {
			newest = m
		}
	}
	age := f.Now.Sub(newest.Finished)
	found := []Finding{good(check, "%s old, %s", span(age), newest.ID)}
	if age > oldSnapshot {
		found[0] = warning(check, "run `pitr snapshot take`, and look at cron", "it is %s old", span(age))
	}
	return append(found,
		warning("verified", "`pitr snapshot verify "+string(newest.ID)+"`", "pitr keeps no record of verifications: run one now and then"),
		warning("drill", "`pitr restore --to MOMENT --dry-run` shows the way", "never drilled: rehearsals are not built yet"))
}

func judgeLeases(f Facts) []Finding {
	var found []Finding
	for _, lease := range f.Leases {
		name := lease.Object.Lease()
		switch {
		case !lease.Held() || name == catalog.LeaseArchive:
		case lease.Problem != nil:
			found = append(found, bad("lease "+name, lease.Problem))
		case silent(f, lease):
			found = append(found, warning("lease "+name, fmt.Sprintf("nothing: the next run takes it over within a minute; or `pitr lease break %s --owner %s`", name, lease.Owner()),
				"%s has shown no sign of life for %s", lease.Owner(), span(f.storeNow().Sub(lease.Modified))))
		case name == catalog.LeaseWrite && f.Restoring:
			found = append(found, bad("lease "+name, pitr.Errorf(pitr.KindLocked, "", "wait for it, or speak with them; `pitr jobs` shows the job",
				"%s is writing to the cluster since %s", lease.Owner(), lease.Record.Taken.UTC().Format("15:04:05 UTC"))))
		case name == catalog.LeasePlaybook: // it may be the run that asks
		default:
			found = append(found, warning("lease "+name, "`pitr lease list`", "%s holds it since %s", lease.Owner(), lease.Record.Taken.UTC().Format("15:04:05 UTC")))
		}
	}
	if len(found) == 0 && f.Repository != nil && f.Problem == nil {
		found = append(found, good("leases", "nobody is in the way"))
	}
	return found
}

// judgeJobs finds jobs that stand half-way. One that somebody is running now holds the lease.
func judgeJobs(f Facts) []Finding {
	if f.Repository == nil || f.Problem != nil {
		return nil
	}
	if lease, running := leaseNamed(f, catalog.LeaseWrite); running && !silent(f, lease) {
		return nil // judgeLeases tells of it
	}
	undone := map[format.ID]bool{}
	for _, job := range f.Jobs {
		if job.Intent != nil && job.Intent.Kind == format.JobUndo && job.Done() {
			undone[job.Intent.Job] = true
		}
	}
	var found []Finding
	for _, job := range f.Jobs {
		if job.Result != nil || undone[job.ID] {
			continue
		}
		id := string(job.ID)
		ways := fmt.Sprintf("`pitr resume %[1]s` goes on, `pitr undo %[1]s` takes it back, `pitr unfreeze %[1]s` lifts its block", id)
		switch {
		case has(job, stepWrite):
			found = append(found, bad("job", pitr.Refusef("", ways, "%s was stopped half-way, after it began to write", id)))
		case has(job, stepFreeze) && !has(job, stepUnfrozen):
			found = append(found, bad("job", pitr.Refusef("", fmt.Sprintf("`pitr resume %[1]s` goes on, `pitr unfreeze %[1]s` lifts the block", id),
				"%s was stopped before its first write and may have left its write block", id)))
		default:
			found = append(found, warning("job", fmt.Sprintf("`pitr resume %s`, or leave it: it has written nothing", id), "%s was begun and has written nothing", id))
		}
	}
	if len(found) == 0 {
		return []Finding{good("jobs", "none stands half-way")}
	}
	return found
}

func has(job catalog.Job, step string) bool {
	return slices.ContainsFunc(job.Steps, func(record format.StepRecord) bool { return record.Step == step })
}

func judgeMarks(f Facts) []Finding {
	var found []Finding
	for _, mark := range f.Marks {
		left := mark.Expires.Sub(f.Now)
		if !mark.Expires.IsZero() && left > 0 && left < soonExpired {
			found = append(found, warning("mark", "set another mark with --keep if it is still needed", "%q stops holding the archive in %s", mark.Name, span(left)))
		}
	}
	return found
}

// judgeCare looks at what nobody needs tonight and everybody some day.
func judgeCare(f Facts) []Finding {
	if f.Repository == nil {
		return nil
	}
	var found []Finding
	for _, list := range f.Condemned {
		if age := f.Now.Sub(list.Created); age > oldList {
			found = append(found, warning("condemned", "prune again: nothing on that list can be held meanwhile", "list %s is %s old and was not worked off", list.ID, span(age)))
		}
	}
	if f.Retention == "" {
		found = append(found, warning("retention", "decide what is to be kept", "no retention is set: the repository only grows"))
	}
	return found
}

func clock(ts pitr.Timestamp) string { return ts.Time().UTC().Format("2006-01-02 15:04:05 UTC") }

// span shows a time as a person thinks of it.
func span(d time.Duration) string {
	d = d.Abs()
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%.0f days", d.Hours()/24)
	case d >= 2*time.Hour:
		return fmt.Sprintf("%.0f h", d.Hours())
	case d >= 2*time.Minute:
		return fmt.Sprintf("%.0f min", d.Minutes())
	}
	return fmt.Sprintf("%.0f s", d.Seconds())
}
