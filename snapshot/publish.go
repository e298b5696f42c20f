package snapshot

import (
	"cmp"
	"context"
	"slices"

	"pitr"
	"pitr/format"
	"pitr/internal/failpoint"
)

// end chooses E and brings the archive there. Where all documents are of one moment that is E; otherwise it is a majority
// point after the last reply.
func (t *taking) end(ctx context.Context) error {
	if !t.hasMoments() {
		return nil
	}
	t.through = t.moment
	if t.fuzzy {
		majority, err := t.source.MajorityOpTime(ctx)
		if err != nil {
			return err
		}
		t.through = majority.TS
	}
	branch, err := t.Archive.CatchUp(ctx, t.through)
	if err != nil {
		return err
	}
	if branch != t.branch {
		return pitr.Errorf(pitr.KindConflict, "take a snapshot", "take the snapshot again",
			"the archive went on to branch %s while the copy of branch %s was taken", branch, t.branch)
	}
	missing, err := t.uncovered(ctx, pitr.Window{After: t.fetch.Before(), Through: t.through})
	if err != nil {
		return err
	}
	return missing
}

// exactness says at which moments the snapshot is exact.
func (t *taking) exactness() format.Exactness {
	switch {
	case !t.hasMoments():
		return format.ExactNo
	case t.fuzzy:
		return format.ExactThroughOplog
	}
	return format.ExactOneTime
}

// publish writes the catalog parts and then the manifest, which makes the snapshot exist.
func (t *taking) publish(ctx context.Context) (format.Manifest, error) {
	manifest := format.Manifest{
		ID: t.id, Branch: t.branch, Created: t.started.UTC(), Reason: t.Reason, Note: t.Note, Operator: t.Operator,
		Pitr: t.Version, Scope: t.Scope, From: t.from, At: t.through, Exact: t.exactness(),
		Cluster: format.Cluster{Name: t.repository.ClusterName(), Set: t.server.Set, SetID: t.server.SetID,
			Member: t.server.Member, Hosts: t.server.Hosts, Version: t.server.Version, FCV: t.server.FCV},
	}
	var err error
	if manifest.Oplog, err = t.span(ctx); err != nil {
		return manifest, err
	}
	if manifest.Objects, err = t.publishCatalog(ctx); err != nil {
		return manifest, err
	}
	manifest.Finished = t.Now().UTC()
	failpoint.Hit("snapshot.before-manifest")
	if _, err := t.repository.PutObject(ctx, &manifest); err != nil {
		return manifest, err
	}
	failpoint.Hit("snapshot.after-manifest")
	t.Log.InfoContext(ctx, "snapshot published", "id", manifest.ID, "exact", manifest.Exact, "at", manifest.At.String(),
		"documents", manifest.Objects.Documents, "bytes", manifest.Objects.Bytes, "stored", manifest.Objects.Stored)
	return manifest, nil
}

// records gives the records of the catalog in their order: collections, chunks, key partitions, each by number.
func (t *taking) records() []format.CatalogRecord {
	var records []format.CatalogRecord
	for _, c := range t.collections {
		if t.exactness() == format.ExactOneTime {
			sum := c.Stored
			c.Sum = &sum
		}
		records = append(records, c.CollectionRecord)
	}
	byName := func(a, b format.Part) int { return cmp.Compare(a.Name.String(), b.Name.String()) }
	slices.SortFunc(t.chunks, func(a, b format.ChunkRecord) int { return byName(a.Part, b.Part) })
	slices.SortFunc(t.keys, func(a, b format.KeysRecord) int { return byName(a.Part, b.Part) })
	for _, chunk := range t.chunks {
		records = append(records, chunk)
	}
	for _, keys := range t.keys {
		records = append(records, keys)
	}
	return records
}

// publishCatalog writes the records and gives the totals.
func (t *taking) publishCatalog(ctx context.Context) (format.Objects, error) {
	objects := format.Objects{Collections: len(t.collections), Chunks: len(t.chunks), Keys: len(t.keys)}
	for _, chunk := range t.chunks {
		objects.Documents += chunk.Documents
		objects.Bytes += chunk.Bytes
		objects.Stored += chunk.Size
	}
	for _, keys := range t.keys {
		objects.Stored += keys.Size
	}
	writer, err := format.NewWriter(format.WriterOptions{})
	if err != nil {
		return objects, err
	}
	put := func() error {
		name, err := format.CatalogPartName(t.id, len(objects.Catalog))
		if err != nil {
			return err
		}
		sealed, err := writer.Finish(name, nil)
		if err != nil {
			return err
		}
		objects.Catalog = append(objects.Catalog, format.PartOf(sealed))
		objects.Stored += sealed.Size()
		return t.repository.PutAndRead(ctx, sealed.Name, sealed.Data)
	}
	for _, record := range t.records() {
		if writer.Documents() > 0 && writer.Full() {
			if err := put(); err != nil {
				return objects, err
			}
		}
		if _, err := writer.Append(0, record.BSON()); err != nil {
			return objects, err
		}
	}
	return objects, put()
}
