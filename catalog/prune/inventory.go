package prune

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"pitr"
	"pitr/catalog"
	"pitr/format"
)

// Inventory is what lies in a repository, as far as a plan has to know it. Every time in it is the store's.
type Inventory struct {
	// Now is the present by the clock of the store.
	Now time.Time
	// Copied says that the store's times are younger than the repository: somebody copied it, and they tell nothing about
	// when snapshots were taken.
	Copied    bool
	Timeline  catalog.Timeline
	Snapshots []Snapshot
	// Unfinished are folders of snapshots without a manifest.
	Unfinished []Folder
	Marks      []Mark
	Holds      []Hold
	Jobs       []Job
	// Leftovers are folders of jobs that have neither an intent nor a step.
	Leftovers []Folder
	Lists     []List
	// Leases are all generations of leases.
	Leases []Thing
	// Busy are the leases that somebody holds under which a snapshot may be read or written: write and snapshot.
	Busy []string
	// Locked are snapshots whose manifest the store refused to delete: they stay, with all that they need.
	Locked map[format.ID]bool
}

// Snapshot is a published snapshot.
type Snapshot struct {
	format.Manifest
	// Since is when the manifest was stored.
	Since time.Time
	Size  int64
	// Damage says what the listing lacks of it; empty for a whole one.
	Damage string
}

// Folder is a folder without the object that gives it a meaning.
type Folder struct {
	ID format.ID
	// First and Last are when its oldest and its newest object were stored.
	First, Last time.Time
	Objects     []format.Name
	Size        int64
}

// Mark is a mark with the time at which it was stored.
type Mark struct {
	format.Mark
	Since time.Time
}

// Hold is a hold with the time at which it was stored.
type Hold struct {
	format.Hold
	Since time.Time
}

// Job is a job with the time at which its newest object was stored.
type Job struct {
	catalog.Job
	Last time.Time
}

// List is a list of what was condemned, with the time at which it was stored.
type List struct {
	format.Condemned
	Since time.Time
}

// Thing is an object that stands for itself.
type Thing struct {
	Name  format.Name
	Since time.Time
	Size  int64
}

// tally is what a listing tells of a folder of a snapshot.
type tally struct {
	Folder
	manifest              time.Time
	manifestSize          int64
	chunks, keys, catalog int
}

// Load makes the inventory of a repository. The present is that of the newest object unless the caller knows better: no clock
// but the store's is asked. An object that cannot be read and might need others is an error of its kind: nothing can be
// removed for certain then.
func Load(ctx context.Context, repository *catalog.Repository) (Inventory, error) {
	l := loader{repository: repository, snapshots: map[format.ID]*tally{}, jobs: map[format.ID]*tally{}, since: map[format.Name]time.Time{}}
	for _, step := range []func(context.Context) error{
		l.list, l.published, l.timeline, l.marks, l.holds, l.allJobs, l.lists, l.busy,
	} {
		if err := step(ctx); err != nil {
			return Inventory{}, fmt.Errorf("look at what is there: %w", err)
		}
	}
	return l.inventory, nil
}

type loader struct {
	repository *catalog.Repository
	inventory  Inventory
	snapshots  map[format.ID]*tally
	jobs       map[format.ID]*tally
	// since has the time of every small object that is read later.
	since map[format.Name]time.Time
}

// list walks once through all names.
func (l *loader) list(ctx context.Context) error {
	for found, err := range l.repository.List(ctx, "", "") {
		if err != nil {
			return err
		}
		if found.Modified.After(l.inventory.Now) {
			l.inventory.Now = found.Modified
		}
		switch found.Name.Kind() {
		case format.KindHeader:
			// Between the first object of a repository and its header lies a probe of the store, not a day.
			l.inventory.Copied = found.Modified.Sub(l.repository.Header().Created) > 24*time.Hour
		case format.KindManifest, format.KindCatalogPart, format.KindChunk, format.KindKeys:
			add(l.snapshots, found)
		case format.KindIntent, format.KindStep, format.KindChanges, format.KindChangePart, format.KindResult, format.KindReview:
			add(l.jobs, found)
		case format.KindMark, format.KindHold, format.KindCondemned:
			l.since[found.Name] = found.Modified
		case format.KindLease:
			l.inventory.Leases = append(l.inventory.Leases, Thing{Name: found.Name, Since: found.Modified, Size: found.Size})
		default: // segments and notes are the timeline's; the others stay
		}
	}
	return nil
}

func add(folders map[format.ID]*tally, found catalog.Found) {
	folder := folders[found.Name.ID()]
	if folder == nil {
		folder = &tally{Folder: Folder{ID: found.Name.ID(), First: found.Modified}}
		folders[found.Name.ID()] = folder
	}
	if found.Modified.Before(folder.First) {
		folder.First = found.Modified
	}
	if found.Modified.After(folder.Last) {
		folder.Last = found.Modified
	}
	switch found.Name.Kind() {
	case format.KindManifest:
		folder.manifest, folder.manifestSize = found.Modified, found.Size
		return
	case format.KindChunk:
		folder.chunks++
	case format.KindKeys:
		folder.keys++
	case format.KindCatalogPart:
		folder.catalog++
	default:
		folder.Objects = append(folder.Objects, found.Name) // of jobs, which are few
	}
	folder.Size += found.Size
}

// timeline reads what is known about time, after the manifests: it has every snapshot that they have. A manifest, mark, branch
// or job that cannot be read ends the run.
func (l *loader) timeline(ctx context.Context) (err error) {
	if l.inventory.Timeline, err = l.repository.Timeline(ctx); err != nil {
		return err
	}
	for _, damaged := range l.inventory.Timeline.Damaged {
		if damaged.Object.Kind() != format.KindHole { // a note needs nothing
			return unreadable(damaged)
		}
	}
	return nil
}

func unreadable(damaged catalog.Damaged) error {
	return pitr.Errorf(pitr.KindOf(damaged.Err), "read "+damaged.Object.String(),
		"nothing is removed while it cannot be read, because it may need anything; see `pitr verify`, and remove the object by hand if it is lost",
		"%w", damaged.Err)
}

func (l *loader) published(ctx context.Context) error {
	listing, err := l.repository.Snapshots(ctx)
	if err != nil {
		return err
	}
	if len(listing.Damaged) > 0 {
		return unreadable(listing.Damaged[0])
	}
	for _, manifest := range listing.Items {
		listed := l.snapshots[manifest.ID]
		if listed == nil || listed.manifest.IsZero() {
			// It was published after the listing: no plan of this run is about it, but what it needs stays.
			l.inventory.Snapshots = append(l.inventory.Snapshots, Snapshot{Manifest: manifest, Since: l.inventory.Now, Damage: "just published"})
			delete(l.snapshots, manifest.ID)
			continue
		}
		l.inventory.Snapshots = append(l.inventory.Snapshots, Snapshot{Manifest: manifest, Since: listed.manifest,
			Size: listed.Size + listed.manifestSize, Damage: listed.lacks(manifest)})
		delete(l.snapshots, manifest.ID)
	}
	for _, id := range slices.Sorted(maps.Keys(l.snapshots)) {
		if listed := l.snapshots[id]; listed.manifest.IsZero() { // else it was removed meanwhile, or cannot be read
			l.inventory.Unfinished = append(l.inventory.Unfinished, listed.Folder)
		}
	}
	return nil
}

// lacks is the check of level 0: everything that the manifest counts is listed, with all its bytes.
func (t *tally) lacks(m format.Manifest) string {
	if t.chunks == m.Objects.Chunks && t.keys == m.Objects.Keys && t.catalog == len(m.Objects.Catalog) && t.Size == m.Objects.Stored {
		return ""
	}
	return fmt.Sprintf("%d objects of %d bytes are there, its manifest counts %d of %d", t.chunks+t.keys+t.catalog, t.Size,
		m.Objects.Chunks+m.Objects.Keys+len(m.Objects.Catalog), m.Objects.Stored)
}

func (l *loader) marks(ctx context.Context) error {
	listing, err := l.repository.Marks(ctx)
	if err != nil || len(listing.Damaged) > 0 {
		return orUnreadable(err, listing.Damaged)
	}
	for _, mark := range listing.Items {
		since, err := l.sinceOf(mark.ObjectName())
		if err != nil {
			return err
		}
		l.inventory.Marks = append(l.inventory.Marks, Mark{Mark: mark, Since: since})
	}
	return nil
}

func orUnreadable(err error, damaged []catalog.Damaged) error {
	if err != nil {
		return err
	}
	return unreadable(damaged[0])
}

// sinceOf gives the store's time of a small object; one that came after the listing is as young as can be.
func (l *loader) sinceOf(name format.Name, err error) (time.Time, error) {
	since, listed := l.since[name]
	if !listed {
		since = l.inventory.Now
	}
	return since, err
}

func (l *loader) holds(ctx context.Context) error {
	listing, err := l.repository.Holds(ctx)
	if err != nil || len(listing.Damaged) > 0 {
		return orUnreadable(err, listing.Damaged)
	}
	for _, hold := range listing.Items {
		since, err := l.sinceOf(hold.ObjectName())
		if err != nil {
			return err
		}
		l.inventory.Holds = append(l.inventory.Holds, Hold{Hold: hold, Since: since})
	}
	return nil
}

func (l *loader) allJobs(ctx context.Context) error {
	jobs, err := l.repository.Jobs(ctx)
	if err != nil {
		return err
	}
	for _, job := range jobs {
		if len(job.Damaged) > 0 {
			return unreadable(job.Damaged[0])
		}
		last := l.inventory.Now
		if listed := l.jobs[job.ID]; listed != nil {
			last = listed.Last
		}
		l.inventory.Jobs = append(l.inventory.Jobs, Job{Job: job, Last: last})
		delete(l.jobs, job.ID)
	}
	for _, id := range slices.Sorted(maps.Keys(l.jobs)) {
		l.inventory.Leftovers = append(l.inventory.Leftovers, l.jobs[id].Folder)
	}
	return nil
}

func (l *loader) lists(ctx context.Context) error {
	listing, err := l.repository.Condemned(ctx)
	if err != nil || len(listing.Damaged) > 0 {
		return orUnreadable(err, listing.Damaged)
	}
	for _, list := range listing.Items {
		since, err := l.sinceOf(list.ObjectName())
		if err != nil {
			return err
		}
		l.inventory.Lists = append(l.inventory.Lists, List{Condemned: list, Since: since})
	}
	return nil
}

func (l *loader) busy(ctx context.Context) (err error) {
	l.inventory.Busy, err = busy(ctx, l.repository, l.inventory.Now)
	return err
}

// silence is how long after its last renewal, by the clock of the store, a lease is that of a dead run.
const silence = 5 * catalog.LeaseTTL

// busy gives the leases under which somebody may be reading or writing a snapshot now.
func busy(ctx context.Context, repository *catalog.Repository, now time.Time) ([]string, error) {
	var names []string
	for _, name := range []string{catalog.LeaseSnapshot, catalog.LeaseWrite} {
		state, err := repository.ShowLease(ctx, name)
		if err != nil {
			return nil, err
		}
		if state.Held() && now.Sub(state.Modified) < silence {
			names = append(names, fmt.Sprintf("%s (%s)", name, state.Owner()))
		}
	}
	return names, nil
}

// Working says who is at work, empty for nobody.
func (i Inventory) Working() string { return strings.Join(i.Busy, ", ") }
