package prune

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"pitr"
	"pitr/catalog"
	"pitr/format"
)

const (
	// Wait is how long what is condemned stays before it is removed, by the clock of the store.
	Wait = 24 * time.Hour
	// Grace is how long what nothing names is left alone: a run may be at work on it.
	Grace = 7 * 24 * time.Hour
	// recent is the part of the archive, before its end, that no policy touches: runs that have only just begun need it.
	recent = 24 * time.Hour
)

// Verdict says what happens to something.
type Verdict string

// The verdicts.
const (
	// Stays is kept.
	Stays Verdict = "stays"
	// Goes is not needed, and not condemned yet.
	Goes Verdict = "goes"
	// Waits is condemned, and its day of waiting is not over.
	Waits Verdict = "waits"
	// Leaves is condemned, has waited, and is removed by the next run.
	Leaves Verdict = "leaves"
)

// Item is something in the repository with what happens to it.
type Item struct {
	// Kind is manifest for a snapshot, with everything below its manifest; chunk for the folder of a snapshot without a
	// manifest; the object's own kind otherwise.
	Kind    format.Kind
	Verdict Verdict
	// Why names every reason to keep a snapshot, and the first one of anything else; or why it goes.
	Why []string
	// ID is the snapshot, or the branch of a segment or note. Name is zero for snapshots and folders.
	ID    format.ID
	Name  format.Name
	Since time.Time
	Size  int64
	// Until is when a condemned thing has waited long enough.
	Until time.Time
}

// Plan says of everything in an inventory whether it stays. It is made by PlanOf.
type Plan struct {
	Now    time.Time
	Policy Policy
	// Snapshots are in the order of their ids; Archive has segments and notes by branch and time; Others are marks, holds,
	// leftovers and generations of leases.
	Snapshots, Archive, Others []Item
	// Spared are things that are condemned and stay all the same.
	Spared int
	Copied bool
}

// PlanOf decides what stays and what goes. It is a function of the inventory and the policy: no clock, no store.
func PlanOf(inventory Inventory, policy Policy) Plan {
	inventory.Snapshots = slices.SortedFunc(slices.Values(inventory.Snapshots), func(a, b Snapshot) int { return cmp.Compare(a.ID, b.ID) })
	p := planner{Inventory: inventory, policy: policy, condemned: condemnedIn(inventory), why: map[format.ID][]string{}}
	p.needs = needsOf(inventory, policy)
	p.choose()
	p.bases()
	plan := Plan{Now: inventory.Now, Policy: policy, Copied: inventory.Copied}
	plan.Snapshots = p.snapshots()
	plan.Archive = p.archive()
	plan.Others = p.others()
	for _, list := range [][]Item{plan.Snapshots, plan.Archive, plan.Others} {
		for i := range list {
			plan.Spared += p.sentence(&list[i])
		}
	}
	return plan
}

// planner is a plan in the making.
type planner struct {
	Inventory
	policy    Policy
	condemned condemned
	needs     needs
	// why has the reasons to keep a snapshot; one without a reason goes.
	why map[format.ID][]string
}

func (p *planner) keep(snapshot format.ID, reason string, values ...any) {
	text := fmt.Sprintf(reason, values...)
	if !slices.Contains(p.why[snapshot], text) {
		p.why[snapshot] = append(p.why[snapshot], text)
	}
}

// choose keeps snapshots for what they are; bases for moments come after.
func (p *planner) choose() {
	p.applyRules()
	for _, s := range p.Snapshots {
		if s.Damage != "" {
			p.keep(s.ID, "not whole: %s", s.Damage)
		}
		if p.Locked[s.ID] {
			p.keep(s.ID, "the store refuses to delete it")
		}
	}
	for _, each := range p.needs.snapshots {
		p.keep(each.snapshot, "%s", each.reason)
	}
}

// gone reports whether a snapshot is known and has no reason to stay.
func (p *planner) gone(snapshot format.ID) bool {
	_, known := slices.BinarySearchFunc(p.Snapshots, snapshot, func(s Snapshot, id format.ID) int { return cmp.Compare(s.ID, id) })
	return known && len(p.why[snapshot]) == 0
}

func (p *planner) snapshots() []Item {
	var items []Item
	for _, s := range p.Snapshots {
		item := Item{Kind: format.KindManifest, ID: s.ID, Since: s.Since, Size: s.Size, Verdict: Stays, Why: p.why[s.ID]}
		if len(item.Why) == 0 {
			item.Verdict, item.Why = Goes, []string{"no rule keeps it, and nothing needs it"}
		}
		items = append(items, item)
	}
	for _, f := range p.Unfinished {
		items = append(items, p.folder(f, Item{Kind: format.KindChunk, ID: f.ID}))
	}
	return items
}

// folder judges what lies in a folder that no object gives a meaning.
func (p *planner) folder(f Folder, item Item) Item {
	item.Since, item.Size, item.Verdict = f.Last, f.Size, Stays
	_, condemned := p.condemned.snapshots[f.ID]
	half := condemned && item.Kind == format.KindChunk // case R10
	switch age := p.Now.Sub(f.Last); {
	case len(p.Busy) > 0:
		item.Why = []string{"a run is at work: " + p.Working()}
	case half && age >= Wait:
		item.Verdict, item.Why = Goes, []string{"what is left of a snapshot that was being removed"}
	case age < Grace: // case C14, R06
		item.Why = []string{fmt.Sprintf("in progress, or left by a crash: it may go %s after its newest object", Span(Grace))}
	default:
		item.Verdict, item.Why = Goes, []string{"left by a crash"}
	}
	return item
}

// archive judges segments and notes of all branches.
func (p *planner) archive() []Item {
	var items []Item
	for _, line := range p.Timeline.Lines {
		ranges := p.needs.ranges[line.Branch].sorted()
		verdicts := make([]Item, len(line.Segments))
		goes := map[int]bool{}
		for i, segment := range line.Segments {
			item := Item{Kind: format.KindSegment, ID: line.Branch, Size: segment.Size, Verdict: Stays}
			if reason, needed := ranges.meets(segment.Window); needed {
				item.Why = []string{reason}
			} else {
				goes[i] = true
			}
			verdicts[i] = item
		}
		settle(line, goes)
		for i, segment := range line.Segments {
			name, err := segment.Name(line.Branch)
			if err != nil {
				continue // its name came from a listing: it cannot be bad
			}
			verdicts[i].Name = name
			switch {
			case goes[i]:
				verdicts[i].Verdict, verdicts[i].Why = Goes, []string{"before everything that is promised or kept"}
			case len(verdicts[i].Why) == 0:
				verdicts[i].Why = []string{"joins what is kept"}
			}
		}
		items = append(items, verdicts...)
		items = append(items, notes(line, left(line, goes))...)
	}
	slices.SortStableFunc(items, func(a, b Item) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Name.Window().Through, b.Name.Window().Through),
			cmp.Compare(a.Name.Window().After, b.Name.Window().After))
	})
	return items
}

// left gives the segments of a line that do not go.
func left(line catalog.Line, goes map[int]bool) []catalog.Segment {
	kept := make([]catalog.Segment, 0, len(line.Segments))
	for i, segment := range line.Segments {
		if !goes[i] {
			kept = append(kept, segment)
		}
	}
	return kept
}

// notes judges the notes of a line: one that lies before everything else says nothing any more.
func notes(line catalog.Line, kept []catalog.Segment) []Item {
	var items []Item
	for _, note := range line.Notes {
		name, err := format.HoleName(line.Branch, note.Window)
		if err != nil {
			continue
		}
		item := Item{Kind: format.KindHole, ID: line.Branch, Name: name, Verdict: Stays, Why: []string{"explains a break of the archive"}}
		if !explains(note.Window, kept) {
			item.Verdict, item.Why = Goes, []string{"nothing of the archive lies before it"}
		}
		items = append(items, item)
	}
	return items
}

// explains reports whether something of the archive lies before or within the window.
func explains(window pitr.Window, kept []catalog.Segment) bool {
	return slices.ContainsFunc(kept, func(s catalog.Segment) bool { return s.After < window.Through })
}

// others judges what stands for itself.
func (p *planner) others() []Item {
	var items []Item
	for _, mark := range p.Marks {
		item := Item{Kind: format.KindMark, ID: mark.Branch, Since: mark.Since, Verdict: Stays, Why: []string{"it holds the archive"}}
		item.Name, _ = mark.ObjectName() // it came from a listing
		switch {
		case !mark.lapsed(p.Now):
		case p.archived(mark):
			item.Why = []string{"its moment is still archived"}
		default:
			item.Verdict, item.Why = Goes, []string{"it has expired, and so has its moment"}
		}
		items = append(items, item)
	}
	for _, hold := range p.Holds {
		item := Item{Kind: format.KindHold, ID: hold.ID, Since: hold.Since, Verdict: Stays, Why: []string{"it holds"}}
		item.Name, _ = hold.ObjectName() // it came from a listing
		if hold.lapsed(p.Now) {
			item.Verdict, item.Why = Goes, []string{"it has expired"}
		}
		items = append(items, item)
	}
	for _, folder := range p.Leftovers {
		for _, name := range folder.Objects {
			items = append(items, p.folder(folder, Item{Kind: name.Kind(), ID: folder.ID, Name: name}))
		}
	}
	return append(items, p.leases()...)
}

// archived reports whether the moment of a mark lies in something that stays.
func (p *planner) archived(mark Mark) bool {
	_, needed := p.needs.ranges[mark.Branch].sorted().meets(pitr.Window{After: mark.At.Before(), Through: mark.At})
	return needed
}

// leases judges generations: the newest two stay, as a listing may miss the one that is just being made.
func (p *planner) leases() []Item {
	byName := map[string][]Thing{}
	for _, lease := range p.Leases {
		byName[lease.Name.Lease()] = append(byName[lease.Name.Lease()], lease)
	}
	var items []Item
	for _, generations := range byName {
		slices.SortFunc(generations, func(a, b Thing) int { return -cmp.Compare(a.Name.Generation(), b.Name.Generation()) })
		for i, lease := range generations {
			item := Item{Kind: format.KindLease, Name: lease.Name, Since: lease.Since, Size: lease.Size, Verdict: Stays, Why: []string{"the newest of its lease"}}
			if i > 1 && p.Now.Sub(lease.Since) >= recent {
				item.Verdict, item.Why = Goes, []string{"newer generations are there"}
			}
			items = append(items, item)
		}
	}
	slices.SortFunc(items, func(a, b Item) int { return cmp.Compare(a.Name.String(), b.Name.String()) })
	return items
}

// lapsed reports whether a mark holds nothing any more.
func (m Mark) lapsed(now time.Time) bool { return lapsed(now, m.Since, m.Created, m.Expires) }

// lapsed reports whether a hold holds nothing any more.
func (h Hold) lapsed(now time.Time) bool { return lapsed(now, h.Since, h.Created, h.Expires) }

// lapsed compares with the clock of the store. Who made a hold with a clock that was wrong meant a span: it ends with the
// date or with the span, whichever is later.
func lapsed(now, since, created, expires time.Time) bool {
	if expires.IsZero() {
		return false
	}
	return !now.Before(expires) && now.Sub(since) >= expires.Sub(created)
}

// Count adds up the items of a verdict.
func (p Plan) Count(verdict Verdict) (snapshots, objects int, size int64) {
	for _, item := range p.Snapshots {
		if item.Verdict == verdict && item.Kind == format.KindManifest {
			snapshots++
		}
	}
	for _, list := range [][]Item{p.Snapshots, p.Archive, p.Others} {
		for _, item := range list {
			if item.Verdict == verdict {
				objects++
				size += item.Size
			}
		}
	}
	return snapshots, objects, size
}

// Drastic says why a person should confirm the plan; empty for one that only goes on as before.
func (p Plan) Drastic() string {
	going, _, _ := p.Count(Goes)
	total := 0
	for _, item := range p.Snapshots {
		if item.Kind == format.KindManifest {
			total++
		}
	}
	if 2*going <= total { // case R04
		return ""
	}
	return fmt.Sprintf("%d of %d snapshots would go", going, total)
}
