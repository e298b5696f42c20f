package verify

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"pitr/catalog"
	"pitr/format"
)

// leftovers is where the probe of a store that denies deletion leaves its objects.
const leftovers = "probe/"

// group is what lies together: the objects of one snapshot, one job, or one branch of the archive.
type group struct {
	folder string
	kind   groupKind
	id     format.ID
	sizes  map[format.Name]int64
	// order has the names as they were listed. Segments, of which there may be millions, are kept without their names.
	order    []format.Name
	segments []catalog.Segment
}

type groupKind int

const (
	single groupKind = iota
	snapshotGroup
	jobGroup
	archiveGroup
)

func groupOf(name format.Name) groupKind {
	switch name.Kind() {
	case format.KindManifest, format.KindCatalogPart, format.KindChunk, format.KindKeys:
		return snapshotGroup
	case format.KindIntent, format.KindStep, format.KindChanges, format.KindChangePart, format.KindResult, format.KindReview, format.KindDecisions:
		return jobGroup
	case format.KindSegment, format.KindHole:
		return archiveGroup
	}
	return single
}

// has reports whether the object was listed.
func (g *group) has(name format.Name) bool {
	_, listed := g.sizes[name]
	return listed
}

// take gives the listed size of an object and takes the object out, so that what is left at the end is what nothing named.
func (g *group) take(name format.Name) (int64, bool) {
	size, listed := g.sizes[name]
	delete(g.sizes, name)
	return size, listed
}

func (v *verifier) run(ctx context.Context) error {
	if len(v.Only) > 0 {
		return v.runOnly(ctx)
	}
	var open *group
	previous := ""
	for object, err := range v.repository.Everything(ctx) {
		if err != nil {
			return err
		}
		if object.Name <= previous {
			return v.find(Finding{Kind: Damaged, Object: object.Name, Where: "listing", What: "the store lists it twice, or out of order"})
		}
		previous = object.Name
		name, err := format.ParseName(object.Name)
		if err != nil {
			if err := v.stranger(object.Name); err != nil {
				return err
			}
			continue
		}
		kind := groupOf(name)
		if open != nil && (open.kind != kind || open.id != name.ID()) {
			if err := v.group(ctx, open); err != nil {
				return err
			}
			open = nil
		}
		if kind == single {
			if err := v.single(ctx, name); err != nil {
				return err
			}
			continue
		}
		if open == nil {
			folder := strings.SplitAfterN(object.Name, "/", 3)
			open = &group{folder: folder[0] + folder[1], kind: kind, id: name.ID(), sizes: map[format.Name]int64{}}
		}
		open.add(name, object.Size)
	}
	if open != nil {
		if err := v.group(ctx, open); err != nil {
			return err
		}
	}
	return v.references()
}

func (g *group) add(name format.Name, size int64) {
	if name.Kind() == format.KindSegment {
		g.segments = append(g.segments, catalog.Segment{Window: name.Window(), Prev: name.Prev(), Last: name.Last(), Size: size})
		return
	}
	g.sizes[name] = size
	g.order = append(g.order, name)
}

func (v *verifier) group(ctx context.Context, g *group) error {
	switch g.kind {
	case snapshotGroup:
		return v.snapshot(ctx, g)
	case jobGroup:
		return v.job(ctx, g)
	}
	return v.archive(ctx, g)
}

// idCase finds ids in a name that was put into lower case.
var idCase = regexp.MustCompile(`(\d{8})t(\d{6})z-`)

// stranger tells of an object that is none of ours. A name that differs from one of ours in case only is worse: some stores
// take both for the same.
func (v *verifier) stranger(name string) error {
	if strings.HasPrefix(name, leftovers) {
		return nil
	}
	if _, err := format.ParseName(idCase.ReplaceAllString(strings.ToLower(name), "${1}T${2}Z-")); err == nil {
		return v.find(Finding{Kind: Damaged, Object: name, Where: "listing", What: "its name differs in case only from one that pitr gives"})
	}
	return v.find(Finding{Kind: Stranger, Object: name, Where: "listing", What: "pitr did not put it there"})
}

// references checks that what other objects hold on to is there.
func (v *verifier) references() error {
	for _, r := range v.wanted {
		if !v.published[r.snapshot] {
			err := v.find(Finding{Kind: Missing, Object: format.SnapshotPrefix(r.snapshot), Where: "listing",
				What: fmt.Sprintf("%s names this snapshot, and it is not there", r.object)})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// single checks an object that stands for itself.
func (v *verifier) single(ctx context.Context, name format.Name) error {
	switch name.Kind() {
	case format.KindHeader:
		return readSingle[format.Header](ctx, v, name, nil)
	case format.KindBranch:
		v.branches[name.ID()] = true
		return readSingle[format.Branch](ctx, v, name, nil)
	case format.KindMark:
		return readSingle[format.Mark](ctx, v, name, nil)
	case format.KindHold:
		return readSingle(ctx, v, name, func(hold format.Hold) {
			if hold.Snapshot != "" {
				v.wanted = append(v.wanted, reference{object: name.String(), snapshot: hold.Snapshot})
			}
		})
	case format.KindCondemned:
		return readSingle(ctx, v, name, func(list format.Condemned) {
			for _, snapshot := range list.Snapshots {
				v.condemned[format.SnapshotPrefix(snapshot)] = true
			}
			for _, object := range list.Objects {
				v.condemned[object.String()] = true
			}
		})
	case format.KindLease:
		return readSingle[format.Lease](ctx, v, name, nil)
	case format.KindPlaybook:
		return v.playbook(ctx, name)
	}
	return v.find(Finding{Kind: Unchecked, Object: name.String(), What: "this pitr does not know what such an object holds"})
}

// playbook checks an entry in the journal of a playbook run. They are listed by number, and none may be missing.
func (v *verifier) playbook(ctx context.Context, name format.Name) error {
	if v.playbooks[name.ID()]++; v.playbooks[name.ID()] != name.Number() {
		v.playbooks[name.ID()] = name.Number()
		if err := v.find(Finding{Kind: Missing, Object: name.String(), Where: "listing", What: "the entry before it is not there"}); err != nil {
			return err
		}
	}
	return readSingle[format.PlaybookEntry](ctx, v, name, nil)
}

// readSingle reads a JSON object, whose digest proves it, and hands it on where it is whole.
func readSingle[T any, P interface {
	*T
	format.Object
}](ctx context.Context, v *verifier, name format.Name, use func(T)) error {
	object, err := catalog.ReadObject[T, P](ctx, v.repository, name)
	if err != nil {
		// Old generations of leases, holds and lists of condemned objects come and go while we look.
		if isGone(err) && (name.Kind() == format.KindLease || name.Kind() == format.KindHold || name.Kind() == format.KindCondemned) {
			return nil
		}
		return v.judge(name.String(), "text", err)
	}
	if use != nil {
		use(object)
	}
	return nil
}
