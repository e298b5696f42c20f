package verify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"pitr"
	"pitr/catalog"
	"pitr/format"
	"pitr/storage"
)

func isGone(err error) bool { return errors.Is(err, storage.ErrNotFound) }

// runOnly verifies chosen snapshots and the archive that belongs to them.
func (v *verifier) runOnly(ctx context.Context) error {
	for _, id := range v.Only {
		manifest, err := v.repository.Manifest(ctx, id)
		if pitr.KindOf(err) == pitr.KindNotFound {
			return err
		}
		if err == nil && manifest.Oplog != nil {
			if err := v.archiveOf(ctx, manifest); err != nil {
				return err
			}
		}
		g := &group{folder: format.SnapshotPrefix(id), kind: snapshotGroup, id: id, sizes: map[format.Name]int64{}}
		for found, err := range v.repository.List(ctx, g.folder, "") {
			if err != nil {
				return err
			}
			g.add(found.Name, found.Size)
		}
		if err := v.snapshot(ctx, g); err != nil {
			return err
		}
	}
	return nil
}

// archiveOf looks at the part of the archive that belongs to a snapshot.
func (v *verifier) archiveOf(ctx context.Context, manifest format.Manifest) error {
	segments, err := v.repository.Segments(ctx, manifest.Branch, manifest.Oplog.Window)
	if err != nil {
		return err
	}
	v.branches[manifest.Branch] = true
	return v.archive(ctx, &group{folder: format.OplogPrefix(manifest.Branch), kind: archiveGroup, id: manifest.Branch, segments: segments})
}

// snapshot checks one folder of snapshots/.
func (v *verifier) snapshot(ctx context.Context, g *group) error {
	name, err := format.ManifestName(g.id)
	if err != nil {
		return err
	}
	if _, published := g.take(name); !published {
		return v.find(Finding{Kind: Unreferenced, Object: g.folder, Where: "listing",
			What: fmt.Sprintf("%d objects of a snapshot that was never published, or is being taken", len(g.order))})
	}
	v.published[g.id] = true
	manifest, err := catalog.ReadObject[format.Manifest](ctx, v.repository, name)
	if err != nil {
		return v.judge(name.String(), "text", err)
	}
	v.Progress.Start(g.folder, pitr.Amount{Count: manifest.Objects.Documents, Bytes: manifest.Objects.Stored})
	defer v.Progress.Finish(g.folder)
	if err := v.oplogOf(ctx, name, manifest); err != nil {
		return err
	}
	c, usable, err := v.catalog(ctx, g, manifest)
	if err != nil || !usable {
		return err
	}
	gone, err := v.listed(g, c)
	if err != nil {
		return err
	}
	if v.Level >= LevelDigests {
		if err := v.content(ctx, manifest, c, gone); err != nil {
			return err
		}
	}
	if v.Level >= LevelHistory {
		findings, err := v.Fold(ctx, v.repository, manifest)
		if err != nil {
			return err
		}
		for _, finding := range findings {
			if err := v.find(finding); err != nil {
				return err
			}
		}
	}
	return nil
}

// oplogOf checks that the archive has the window that belongs to a snapshot.
func (v *verifier) oplogOf(ctx context.Context, name format.Name, manifest format.Manifest) error {
	if manifest.Oplog == nil {
		if manifest.Exact != format.ExactNo {
			return v.disagree(name.String(), "a snapshot exact %s without a window of the archive", manifest.Exact)
		}
		return nil
	}
	window := manifest.Oplog.Window
	covers := func(w pitr.Window) bool { return w.Covers(window) }
	if !window.IsEmpty() && !slices.ContainsFunc(v.windows[manifest.Branch], covers) {
		return v.find(Finding{Kind: Missing, Object: name.String(), Where: "listing",
			What: fmt.Sprintf("the archive does not cover %s, which belongs to the snapshot", window)})
	}
	if v.Level < LevelContent || window.IsEmpty() {
		return nil
	}
	return v.endsOf(ctx, name, manifest)
}

// endsOf compares the entries at both ends of a snapshot's window with the digests in its manifest.
func (v *verifier) endsOf(ctx context.Context, name format.Name, manifest format.Manifest) error {
	segments, err := v.repository.Segments(ctx, manifest.Branch, manifest.Oplog.Window)
	if err != nil {
		return err
	}
	for _, end := range []struct {
		bound  pitr.Timestamp
		digest format.Digest
	}{{manifest.Oplog.After, manifest.Oplog.AfterDigest}, {manifest.Oplog.Through, manifest.Oplog.ThroughDigest}} {
		found, known, err := v.lastUpTo(ctx, manifest.Branch, segments, end.bound)
		if err != nil {
			return v.judge(name.String(), "content", err)
		}
		if known && !end.digest.IsZero() && found != end.digest {
			if err := v.disagree(name.String(), "the last entry up to %s is another one than the snapshot was taken with", end.bound); err != nil {
				return err
			}
		}
	}
	return nil
}

// lastUpTo gives the digest of the last entry at or before a bound, where a segment tells it.
func (v *verifier) lastUpTo(ctx context.Context, branch format.ID, segments []catalog.Segment, bound pitr.Timestamp) (digest format.Digest, known bool, err error) {
	for _, segment := range segments {
		if segment.After > bound || bound > segment.Through {
			continue
		}
		reader, err := v.repository.ReadSegment(ctx, branch, segment)
		if err != nil {
			return digest, false, err
		}
		digest = reader.Facts().Prev.Digest
		for {
			more, err := reader.Next(ctx)
			if err != nil {
				return digest, false, err
			}
			if !more || reader.At().TS > bound {
				return digest, !digest.IsZero(), nil
			}
			digest = format.Sum(reader.Entry())
		}
	}
	return digest, false, nil
}

// catalog reads the catalog parts: what they hold, and whether there is anything to go on with.
func (v *verifier) catalog(ctx context.Context, g *group, manifest format.Manifest) (c catalog.Catalog, usable bool, err error) {
	whole := true
	for _, part := range manifest.Objects.Catalog {
		there, err := v.claim(g, part)
		if err != nil {
			return c, false, err
		}
		whole = whole && there
	}
	if !whole {
		return c, false, nil
	}
	if c, err = v.repository.Parts(ctx, manifest); err != nil {
		return c, false, v.judge(g.folder, "catalog parts", err)
	}
	return c, true, nil
}

// claim takes a named object out of the group and reports whether the listing shows it as it was written; if not, it tells.
func (v *verifier) claim(g *group, part format.Part) (bool, error) {
	f := Finding{Kind: Missing, Object: part.Name.String(), Where: "listing", What: "it is named and not there"}
	if size, listed := g.take(part.Name); listed {
		if size == part.Size {
			return true, nil
		}
		f.Kind, f.What = Damaged, fmt.Sprintf("%d bytes where %d were written", size, part.Size)
	}
	return false, v.find(f)
}

// listed compares names and sizes, and tells of what nothing names. It gives the objects that need not be read any more.
func (v *verifier) listed(g *group, c catalog.Catalog) (map[format.Name]bool, error) {
	gone := map[format.Name]bool{}
	check := func(part format.Part) error {
		there, err := v.claim(g, part)
		if !there {
			gone[part.Name] = true
		}
		return err
	}
	for _, chunk := range c.Chunks {
		if err := check(chunk.Part); err != nil {
			return nil, err
		}
	}
	for _, keys := range c.Keys {
		if err := check(keys.Part); err != nil {
			return nil, err
		}
	}
	return gone, v.unreferenced(g)
}

// unreferenced tells of what is left of a group.
func (v *verifier) unreferenced(g *group) error {
	left := slices.SortedFunc(maps.Keys(g.sizes), func(a, b format.Name) int {
		if a.String() < b.String() {
			return -1
		}
		return 1
	})
	for _, name := range left {
		if err := v.find(Finding{Kind: Unreferenced, Object: name.String(), Where: "listing", What: "nothing leads to it"}); err != nil {
			return err
		}
	}
	return nil
}
