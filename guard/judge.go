package guard

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

// judge compares a catalog step with the live catalog: nil means that it is done, an error that the live catalog is in a
// state that the plan does not know. Of several indexes it leaves those that are missing.
func judge(live []pitr.Collection, step pitr.CatalogWrite) (pitr.CatalogWrite, error) {
	names := map[pitr.Namespace]*pitr.Collection{}
	for i := range live {
		names[live[i].NS] = &live[i]
	}
	found := names[step.Target()]
	switch s := step.(type) {
	case pitr.CreateCollection:
		return judgeCreate(found, s)
	case pitr.DropCollection:
		if found == nil || found.UUID != s.UUID {
			return nil, nil // verification finds what should not be there
		}
		return s, nil
	case pitr.RenameCollection:
		return judgeRename(found, names[s.To], s)
	case pitr.CreateIndexes:
		return judgeIndexes(found, s)
	case pitr.DropIndex:
		if err := sameCollection(found, s.UUID, s); err != nil {
			return nil, err
		}
		spec := found.Index(pitr.IndexName(s.Spec))
		switch {
		case spec == nil:
			return nil, nil
		case !SameIndex(spec, s.Spec):
			return nil, strayCatalog(s, "the index is another one now")
		}
		return s, nil
	case pitr.ModifyCollection:
		return s, sameCollection(found, s.UUID, s)
	}
	return nil, pitr.Errorf(pitr.KindUnexpected, step.String(), "report this defect", "a catalog step of an unknown kind %T", step)
}

func judgeCreate(found *pitr.Collection, s pitr.CreateCollection) (pitr.CatalogWrite, error) {
	switch {
	case found == nil:
		return s, nil
	case found.Type != s.Collection.Type || !sameOptions(found.Options, s.Collection.Options):
		return nil, strayCatalog(s, "the name is taken by something else")
	}
	return nil, nil
}

func judgeRename(from, to *pitr.Collection, s pitr.RenameCollection) (pitr.CatalogWrite, error) {
	switch {
	case to != nil && to.UUID == s.UUID:
		return nil, nil
	case to != nil:
		return nil, strayCatalog(s, "the new name is taken")
	}
	return s, sameCollection(from, s.UUID, s)
}

func judgeIndexes(found *pitr.Collection, s pitr.CreateIndexes) (pitr.CatalogWrite, error) {
	if err := sameCollection(found, s.UUID, s); err != nil {
		return nil, err
	}
	var missing []bson.Raw
	for _, spec := range s.Specs {
		there := found.Index(pitr.IndexName(spec))
		switch {
		case there == nil:
			missing = append(missing, spec)
		case !SameIndex(there, spec):
			return nil, strayCatalog(s, "the index "+pitr.IndexName(spec)+" is there with another spec")
		}
	}
	if len(missing) == 0 {
		return nil, nil
	}
	s.Specs = missing
	return s, nil
}

// sameCollection fails unless the collection is there with its identity; a zero identity is any.
func sameCollection(found *pitr.Collection, uuid pitr.UUID, step pitr.CatalogWrite) error {
	switch {
	case found == nil:
		return strayCatalog(step, "the collection is gone")
	case !uuid.IsZero() && found.UUID != uuid:
		return strayCatalog(step, "the collection is another one now")
	}
	return nil
}

func strayCatalog(step pitr.CatalogWrite, what string) error {
	return pitr.Errorf(pitr.KindConflict, step.String(),
		"stop whoever changes the database, then run `pitr resume` or `pitr undo` for the job", "%s", what)
}
