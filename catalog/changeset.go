package catalog

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/format"
)

// ChangeWriter stores a change set while it is computed, in parts that are read back one by one. The set exists once
// Publish has returned; what a run that ends before that has stored is seen by nobody.
type ChangeWriter struct {
	repository *Repository
	writer     *format.Writer
	set        format.Changes
}

// NewChangeWriter begins the change set of a job. Steps, Documents and Parts of the set are filled in.
func (r *Repository) NewChangeWriter(set format.Changes) (*ChangeWriter, error) {
	writer, err := format.NewWriter(format.WriterOptions{})
	if err != nil {
		return nil, err
	}
	set.Steps, set.Documents, set.Parts = 0, map[pitr.Class]int64{}, nil
	return &ChangeWriter{repository: r, writer: writer, set: set}, nil
}

// Step appends a catalog step. All of them come before the changes.
func (w *ChangeWriter) Step(ctx context.Context, step pitr.CatalogStep) error {
	w.set.Steps++
	return w.append(ctx, format.EncodeCatalogStep(step))
}

// Change appends a change. Numbers follow each other, catalog steps included.
func (w *ChangeWriter) Change(ctx context.Context, change pitr.Change) error {
	w.set.Documents[change.Class]++
	return w.append(ctx, format.EncodeChange(change))
}

// Publish stores the last part and then the list of all parts, and gives that.
func (w *ChangeWriter) Publish(ctx context.Context) (format.Changes, error) {
	if err := w.seal(ctx); err != nil {
		return w.set, err
	}
	if w.set.Created.IsZero() {
		w.set.Created = w.repository.now().UTC()
	}
	_, err := w.repository.PutObject(ctx, &w.set)
	return w.set, err
}

func (w *ChangeWriter) append(ctx context.Context, document bson.Raw) error {
	if w.writer.Full() {
		if err := w.seal(ctx); err != nil {
			return err
		}
	}
	_, err := w.writer.Append(0, document)
	return err
}

// seal stores a part and reads it back. An empty set has no parts.
func (w *ChangeWriter) seal(ctx context.Context) error {
	if w.writer.Documents() == 0 {
		return nil
	}
	name, err := format.ChangePartName(w.set.Job, len(w.set.Parts))
	if err != nil {
		return err
	}
	sealed, err := w.writer.Finish(name, nil)
	if err != nil {
		return err
	}
	w.set.Parts = append(w.set.Parts, format.PartOf(sealed))
	return w.repository.PutAndRead(ctx, name, sealed.Data)
}
