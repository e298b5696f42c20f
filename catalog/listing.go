package catalog

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"pitr"
	"pitr/format"
	"pitr/storage"
)

// Listing is what was found of one kind of objects. One damaged object does not hide the others, and is not hidden itself.
type Listing[T any] struct {
	Items []T
	// Damaged are the objects that are there and cannot be used.
	Damaged []Damaged
}

// Damaged is an object that cannot be used, and why.
type Damaged struct {
	Object format.Name
	Err    error
}

// readers is how many small objects are read at once.
const readers = 8

// readAll reads JSON objects, several at once, and gives them in the order of their names' texts. Objects that are gone by
// the time they are read are left out.
func readAll[T any, P pointerTo[T]](ctx context.Context, r *Repository, names []format.Name) (Listing[T], error) {
	objects := make([]T, len(names))
	failures := make([]error, len(names))
	var wait sync.WaitGroup
	next := make(chan int)
	for range min(readers, len(names)) {
		wait.Go(func() {
			for i := range next {
				objects[i], failures[i] = ReadObject[T, P](ctx, r, names[i])
			}
		})
	}
	for i := range names {
		next <- i
	}
	close(next)
	wait.Wait()
	var listing Listing[T]
	for i, err := range failures {
		switch {
		case err == nil:
			listing.Items = append(listing.Items, objects[i])
		case errors.Is(err, storage.ErrNotFound):
		case isDamage(err):
			listing.Damaged = append(listing.Damaged, Damaged{Object: names[i], Err: err})
		default:
			return Listing[T]{}, err
		}
	}
	return listing, nil
}

// isDamage tells what is wrong with an object from what is wrong with the way to it.
func isDamage(err error) bool {
	kind := pitr.KindOf(err)
	return kind == pitr.KindCorrupt || kind == pitr.KindUnsupported
}

// namesOf lists the objects of a kind below a prefix.
func (r *Repository) namesOf(ctx context.Context, kind format.Kind, prefix string) ([]format.Name, error) {
	var names []format.Name
	for found, err := range r.List(ctx, prefix, "") {
		if err != nil {
			return nil, err
		}
		if found.Name.Kind() == kind {
			names = append(names, found.Name)
		}
	}
	return names, nil
}

// Snapshots gives the manifests of all snapshots, oldest first.
func (r *Repository) Snapshots(ctx context.Context) (Listing[format.Manifest], error) {
	var names []format.Name
	for id, err := range r.owners(ctx, format.SnapshotsPrefix) {
		if err != nil {
			return Listing[format.Manifest]{}, err
		}
		name, err := format.ManifestName(id)
		if err != nil {
			return Listing[format.Manifest]{}, err
		}
		names = append(names, name)
	}
	return readAll[format.Manifest](ctx, r, names)
}

// Manifest gives the manifest of a snapshot; kind notfound when the snapshot does not exist, or not yet.
func (r *Repository) Manifest(ctx context.Context, snapshot format.ID) (format.Manifest, error) {
	name, err := format.ManifestName(snapshot)
	if err != nil {
		return format.Manifest{}, err
	}
	manifest, err := ReadObject[format.Manifest](ctx, r, name)
	if errors.Is(err, storage.ErrNotFound) {
		return format.Manifest{}, pitr.Errorf(pitr.KindNotFound, "", "see `pitr snapshot list`", "there is no snapshot %s", snapshot)
	}
	return manifest, err
}

// Branches gives all branches.
func (r *Repository) Branches(ctx context.Context) (Listing[format.Branch], error) {
	names, err := r.namesOf(ctx, format.KindBranch, format.BranchesPrefix)
	if err != nil {
		return Listing[format.Branch]{}, err
	}
	return readAll[format.Branch](ctx, r, names)
}

// PutBranch publishes a branch, before its first segment.
func (r *Repository) PutBranch(ctx context.Context, branch format.Branch) error {
	_, err := r.PutObject(ctx, &branch)
	return err
}

// Marks gives all marks in the order of their moments.
func (r *Repository) Marks(ctx context.Context) (Listing[format.Mark], error) {
	names, err := r.namesOf(ctx, format.KindMark, format.MarksPrefix)
	if err != nil {
		return Listing[format.Mark]{}, err
	}
	return readAll[format.Mark](ctx, r, names)
}

// PutMark publishes a mark. A zero ID or Created is filled in.
func (r *Repository) PutMark(ctx context.Context, mark format.Mark) (format.Mark, error) {
	if mark.ID == "" {
		id, err := r.NewID()
		if err != nil {
			return format.Mark{}, err
		}
		mark.ID = id
	}
	if mark.Created.IsZero() {
		mark.Created = r.now().UTC()
	}
	_, err := r.PutObject(ctx, &mark)
	return mark, err
}

// ResolveMark finds a mark by its name or its id. A name that several marks bear is refused: the hint has their moments.
func (r *Repository) ResolveMark(ctx context.Context, name string) (format.Mark, error) {
	marks, err := r.Marks(ctx)
	if err != nil {
		return format.Mark{}, err
	}
	op := "find mark " + name
	var found []format.Mark
	var moments []string
	for _, mark := range marks.Items {
		if string(mark.ID) == name {
			return mark, nil
		}
		if mark.Name == name {
			found = append(found, mark)
			moments = append(moments, mark.At.String())
		}
	}
	slices.Reverse(moments)
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return format.Mark{}, pitr.Refusef(op, "name one of the moments, newest first: "+strings.Join(moments[:min(5, len(moments))], ", "),
			"%d marks bear this name", len(found))
	case len(marks.Damaged) > 0:
		return format.Mark{}, pitr.Errorf(pitr.KindCorrupt, op, "run `pitr verify`",
			"it is not among the readable marks, and %d cannot be read: %w", len(marks.Damaged), marks.Damaged[0].Err)
	}
	return format.Mark{}, pitr.Errorf(pitr.KindNotFound, op, "see `pitr timeline` for the marks", "there is none")
}

// Holds gives all holds.
func (r *Repository) Holds(ctx context.Context) (Listing[format.Hold], error) {
	names, err := r.namesOf(ctx, format.KindHold, format.HoldsPrefix)
	if err != nil {
		return Listing[format.Hold]{}, err
	}
	return readAll[format.Hold](ctx, r, names)
}

// Condemned gives the lists of what prune is about to remove.
func (r *Repository) Condemned(ctx context.Context) (Listing[format.Condemned], error) {
	names, err := r.namesOf(ctx, format.KindCondemned, format.CondemnedPrefix)
	if err != nil {
		return Listing[format.Condemned]{}, err
	}
	return readAll[format.Condemned](ctx, r, names)
}

// PutHold publishes a hold, unless something it would hold is already condemned: prune may be deleting it at this moment.
// A zero ID or Created is filled in.
func (r *Repository) PutHold(ctx context.Context, hold format.Hold) (format.Hold, error) {
	condemned, err := r.Condemned(ctx)
	if err != nil {
		return format.Hold{}, err
	}
	if len(condemned.Damaged) > 0 {
		return format.Hold{}, condemned.Damaged[0].Err
	}
	for _, list := range condemned.Items {
		if object := meets(hold, list); object != "" {
			return format.Hold{}, pitr.Refusef("hold "+object, "take a new snapshot, or choose another one",
				"it is condemned by %s and may be gone at any moment", list.ID)
		}
	}
	if hold.ID == "" {
		if hold.ID, err = r.NewID(); err != nil {
			return format.Hold{}, err
		}
	}
	if hold.Created.IsZero() {
		hold.Created = r.now().UTC()
	}
	_, err = r.PutObject(ctx, &hold)
	return hold, err
}

// meets gives what a hold and a list of condemned objects have in common, empty for nothing.
func meets(hold format.Hold, list format.Condemned) string {
	if hold.Snapshot != "" && slices.Contains(list.Snapshots, hold.Snapshot) {
		return "snapshot " + string(hold.Snapshot)
	}
	for _, object := range list.Objects {
		switch object.Kind() {
		case format.KindSegment:
			inWindow := hold.Window == nil || !hold.Window.Intersect(object.Window()).IsEmpty()
			if hold.Branch == object.ID() && inWindow {
				return object.String()
			}
		case format.KindIntent, format.KindStep, format.KindChanges, format.KindChangePart, format.KindResult, format.KindReview:
			if hold.Job == object.ID() {
				return object.String()
			}
		case format.KindManifest, format.KindCatalogPart, format.KindChunk, format.KindKeys:
			if hold.Snapshot == object.ID() {
				return object.String()
			}
		}
	}
	return ""
}
