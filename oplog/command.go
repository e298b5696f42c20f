package oplog

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

// Command is the payload of a command entry: one of the types below. Kinds that are skipped or refused have none.
type Command interface{ command() }

type (
	// Create makes a collection; its UUID is the operation's. Options are what listCollections shows of it. IDIndex is
	// empty where the entry names none: the collection is clustered, or a very old form that gets the default.
	Create struct {
		NS      pitr.Namespace
		Options bson.Raw
		IDIndex bson.Raw
	}
	// Drop ends a collection.
	Drop struct{ NS pitr.Namespace }
	// DropDatabase comes after the drops of the database's collections.
	DropDatabase struct{ DB string }
	// Rename gives a collection another name. Target is the collection that had the name and is dropped, zero for none;
	// DropsTarget also covers old entries, which do not name it. StayTemp keeps the option temp.
	Rename struct {
		From, To    pitr.Namespace
		StayTemp    bool
		Target      pitr.UUID
		DropsTarget bool
	}
	// CreateIndexes makes indexes at once.
	CreateIndexes struct {
		NS    pitr.Namespace
		Specs []bson.Raw
	}
	// StartBuild begins an index build; the indexes do not exist before its CommitBuild.
	StartBuild struct{ Build }
	// CommitBuild ends an index build: its indexes exist from here on.
	CommitBuild struct{ Build }
	// AbortBuild ends an index build without indexes. Cause says why, in the form of a command's reply.
	AbortBuild struct {
		Build
		Cause bson.Raw
	}
	// Build names the indexes of one build.
	Build struct {
		NS    pitr.Namespace
		ID    pitr.UUID
		Specs []bson.Raw
	}
	// DropIndexes ends one index, by name; old entries may give its Key instead. Spec is the dropped index, when told.
	DropIndexes struct {
		NS   pitr.Namespace
		Name string
		Key  bson.Raw
		Spec bson.Raw
	}
	// Modify changes options of a collection and of at most one index (collMod). Changes is the command without its name.
	// Before are the complete options before, with the UUID; IndexBefore those of the index that changed, when told.
	Modify struct {
		NS                  pitr.Namespace
		Changes             bson.Raw
		Before, IndexBefore bson.Raw
	}
	// Batch holds operations: a transaction or a part of one, or a batch of writes. Ops is the array as it stands.
	Batch struct {
		Ops              bson.Raw
		Partial, Prepare bool
		// Count is the number of operations of the whole chain, on its last entry; zero when not told.
		Count int64
	}
	// Commit makes a prepared transaction count from a moment on that may lie before the entry.
	Commit struct{ At pitr.Timestamp }
	// Abort ends a transaction without effect.
	Abort struct{}
)

func (Create) command()        {}
func (Drop) command()          {}
func (DropDatabase) command()  {}
func (Rename) command()        {}
func (CreateIndexes) command() {}
func (StartBuild) command()    {}
func (CommitBuild) command()   {}
func (AbortBuild) command()    {}
func (DropIndexes) command()   {}
func (Modify) command()        {}
func (Batch) command()         {}
func (Commit) command()        {}
func (Abort) command()         {}

// decodeCommand reads the payload of a command into the operation: its kind, collection and typed form.
func (o *Op) decodeCommand() error {
	f := walk(o.O)
	if !f.next() {
		return pitr.Corruptf("", "a command without a name: %w", orEmpty(f.err))
	}
	name := string(f.name)
	kind, known := commandKinds[name]
	if !known {
		return unknownWord("command", name)
	}
	o.Kind = kind
	if verdict, _ := kind.Verdict(); verdict != Applied {
		return o.decodeTarget(f)
	}
	var err error
	switch kind {
	case KindApplyOps:
		o.Command, err = readBatch(f)
	case KindCommitTransaction:
		o.Command, err = readCommit(f)
	case KindAbortTransaction:
		o.Command = Abort{}
	case KindDropDatabase:
		o.NS.Collection = ""
		o.Command = DropDatabase{DB: o.NS.DB}
	case KindRenameCollection:
		o.Command, err = readRename(f)
		if rename, ok := o.Command.(Rename); ok && err == nil {
			o.NS = rename.From
		}
	default:
		if err = o.decodeTarget(f); err == nil {
			o.Command, err = o.readCatalogCommand(f)
		}
	}
	return err
}

func orEmpty(err error) error {
	if err == nil {
		return errShort
	}
	return err
}

// decodeTarget takes the collection of a command from the value of its first field, when that is a name.
func (o *Op) decodeTarget(f fields) error {
	o.NS.Collection = ""
	if f.kind == bson.TypeString {
		o.NS.Collection = string(text(f.value))
	}
	if o.Kind == KindTruncateRange {
		// The value is a whole namespace. Ranges of the server's own collections are no matter of history.
		if ns, err := pitr.ParseNamespace(o.NS.Collection); err == nil {
			if o.NS = ns; ns.IsSystem() {
				o.override, o.reason = Skipped, "a range of one of the server's own collections"
			}
		}
		return nil
	}
	if verdict, _ := o.Kind.Verdict(); verdict == Applied && o.NS.Collection == "" {
		return pitr.Corruptf("", "a command %s without a collection", o.Kind)
	}
	return nil
}

// readCatalogCommand reads the commands that change one collection's entry in the catalog.
func (o *Op) readCatalogCommand(f fields) (Command, error) {
	switch o.Kind {
	case KindCreate:
		return readCreate(o.NS, f)
	case KindDrop:
		return Drop{NS: o.NS}, nil
	case KindCreateIndexes:
		spec := builder{}
		place := spec.open()
		spec.out = append(spec.out, f.rest...)
		spec.close(place)
		if specs := (Build{Specs: []bson.Raw{spec.out}}); specs.check() == nil {
			return CreateIndexes{NS: o.NS, Specs: specs.Specs}, nil
		}
		return readIndexes(o.NS, f)
	case KindStartIndexBuild, KindCommitIndexBuild, KindAbortIndexBuild:
		return readBuild(o.Kind, o.NS, f)
	case KindCollMod:
		return readModify(o.NS, f, o.O2)
	}
	return readDropIndexes(o.NS, f, o.O2)
}

func readCreate(ns pitr.Namespace, f fields) (Command, error) {
	create := Create{NS: ns}
	options := builder{}
	place := options.open()
	for f.next() {
		if string(f.name) == "idIndex" && f.kind == bson.TypeEmbeddedDocument {
			create.IDIndex = bson.Raw(f.value)
			continue
		}
		options.element(f.kind, f.name, f.value)
	}
	options.close(place)
	create.Options = options.out
	return create, f.damage("create")
}

func readRename(f fields) (Command, error) {
	var rename Rename
	from := f
	to := ""
	for f.next() {
		switch string(f.name) {
		case "to":
			if f.kind == bson.TypeString {
				to = string(text(f.value))
			}
		case "stayTemp":
			rename.StayTemp = truth(f.raw())
		case "dropTarget":
			if f.kind != bson.TypeBinary {
				rename.DropsTarget = truth(f.raw())
				continue
			}
			target, err := pitr.UUIDOf(f.raw())
			if err != nil {
				return nil, pitr.Corruptf("", "the dropTarget of a renameCollection: %w", err)
			}
			rename.Target, rename.DropsTarget = target, true
		}
	}
	if err := f.damage("renameCollection"); err != nil {
		return nil, err
	}
	var err error
	if from.kind == bson.TypeString {
		rename.From, err = pitr.ParseNamespace(string(text(from.value)))
	}
	if err == nil {
		rename.To, err = pitr.ParseNamespace(to)
	}
	if err != nil || rename.From.IsZero() {
		return nil, pitr.Corruptf("", "a renameCollection without two names: %w", orEmpty(err))
	}
	return rename, nil
}

func readBuild(kind Kind, ns pitr.Namespace, f fields) (Command, error) {
	build := Build{NS: ns}
	var cause bson.Raw
	for f.next() {
		switch {
		case string(f.name) == "indexBuildUUID":
			id, err := pitr.UUIDOf(f.raw())
			if err != nil {
				return nil, pitr.Corruptf("", "the build of a %s: %w", kind, err)
			}
			build.ID = id
		case string(f.name) == "indexes" && f.kind == bson.TypeArray && build.Specs == nil:
			for specs := walk(f.value); specs.next(); {
				if specs.kind == bson.TypeEmbeddedDocument {
					build.Specs = append(build.Specs, bson.Raw(specs.value))
				}
			}
		case string(f.name) == "cause" && f.kind == bson.TypeEmbeddedDocument:
			cause = bson.Raw(f.value)
		}
	}
	if err := f.damage(kind.String()); err != nil {
		return nil, err
	}
	if err := build.check(); err != nil {
		return nil, err
	}
	switch kind {
	case KindStartIndexBuild:
		return StartBuild{build}, nil
	case KindCommitIndexBuild:
		return CommitBuild{build}, nil
	}
	return AbortBuild{Build: build, Cause: cause}, nil
}

// readIndexes reads a createIndexes that lists its specs, as newest servers may.
func readIndexes(ns pitr.Namespace, f fields) (Command, error) {
	build, err := readBuild(KindStartIndexBuild, ns, f)
	if err != nil {
		return nil, err
	}
	start, ok := build.(StartBuild)
	if !ok {
		return nil, pitr.Corruptf("", "a createIndexes without indexes")
	}
	return CreateIndexes{NS: ns, Specs: start.Specs}, nil
}

// check refuses indexes that could not be told apart later.
func (b Build) check() error {
	if len(b.Specs) == 0 {
		return pitr.Corruptf("", "an index entry for %s without indexes", b.NS)
	}
	for _, spec := range b.Specs {
		if _, isKey := spec.Lookup("key").DocumentOK(); !isKey || pitr.IndexName(spec) == "" {
			return pitr.Corruptf("", "an index of %s without key or name", b.NS)
		}
	}
	return nil
}

func readDropIndexes(ns pitr.Namespace, f fields, o2 bson.Raw) (Command, error) {
	drop := DropIndexes{NS: ns, Spec: o2}
	for f.next() {
		if string(f.name) != "index" {
			continue
		}
		switch f.kind {
		case bson.TypeString:
			drop.Name = string(text(f.value))
		case bson.TypeEmbeddedDocument:
			drop.Key = bson.Raw(f.value)
		}
	}
	if err := f.damage("dropIndexes"); err != nil {
		return nil, err
	}
	if drop.Name == "" && drop.Key == nil {
		return nil, pitr.Corruptf("", "a dropIndexes on %s that names no index", ns)
	}
	return drop, nil
}

func readModify(ns pitr.Namespace, f fields, o2 bson.Raw) (Command, error) {
	modify := Modify{NS: ns}
	changes := builder{}
	place := changes.open()
	changes.out = append(changes.out, f.rest...)
	changes.close(place)
	modify.Changes = changes.out
	if o2 != nil {
		old := walk(o2)
		for old.next() {
			switch {
			case old.kind != bson.TypeEmbeddedDocument:
			case string(old.name) == "collectionOptions_old":
				modify.Before = bson.Raw(old.value)
			case string(old.name) == "indexOptions_old":
				modify.IndexBefore = bson.Raw(old.value)
			}
		}
		if err := old.damage("collMod"); err != nil {
			return nil, err
		}
	}
	for f.next() {
	}
	return modify, f.damage("collMod")
}

func readBatch(f fields) (Command, error) {
	if f.kind != bson.TypeArray {
		return nil, pitr.Corruptf("", "an applyOps without operations")
	}
	batch := Batch{Ops: bson.Raw(f.value)}
	for f.next() {
		switch string(f.name) {
		case "partialTxn":
			batch.Partial = truth(f.raw())
		case "prepare":
			batch.Prepare = truth(f.raw())
		case "count":
			batch.Count, _ = number(f.raw())
		}
	}
	return batch, f.damage("applyOps")
}

func readCommit(f fields) (Command, error) {
	var commit Commit
	for f.next() {
		if string(f.name) == "commitTimestamp" && f.kind == bson.TypeTimestamp {
			seconds, ordinal := f.raw().Timestamp()
			commit.At = pitr.NewTimestamp(seconds, ordinal)
		}
	}
	if err := f.damage("commitTransaction"); err != nil {
		return nil, err
	}
	if commit.At == 0 {
		return nil, pitr.Corruptf("", "a commitTransaction without commitTimestamp")
	}
	return commit, nil
}

// damage gives what stopped the walk, nil when it was the end.
func (f *fields) damage(where string) error {
	if f.err == nil {
		return nil
	}
	return pitr.Corruptf("", "%s: %w", where, f.err)
}

// truth reads a value as the server does where it expects yes or no: false, zero, null and absence are no.
func truth(value bson.RawValue) bool {
	switch value.Type {
	case bson.TypeBoolean:
		return value.Value[0] != 0
	case bson.TypeNull, bson.TypeUndefined, 0:
		return false
	case bson.TypeInt32, bson.TypeInt64:
		return strings.Trim(string(value.Value), "\x00") != ""
	case bson.TypeDouble:
		return value.Double() != 0
	}
	return true
}
