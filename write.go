package pitr

import (
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// DocumentWrite is one guarded write of a document in place. It is allowed only while the live document equals Expect byte
// for byte; a live document that equals Result already needs no write, unless Own asks for one.
type DocumentWrite struct {
	NS  Namespace
	Key Key
	// Expect is the document that must be there, nil when there must be none.
	Expect bson.Raw
	// Result is the document that the write brings about, nil to delete.
	Result bson.Raw
	// Reinsert asks for a delete and an insert instead of a replacement, because documents of the same transaction trade
	// values of a unique index among each other, or because the bytes of _id change.
	Reinsert bool
	// Own asks for a Difference also where the live document equals Result already: whoever writes beside others has to know
	// what it was that it wrote.
	Own bool
}

// Difference is the error of a guarded write that met a document which is neither Expect nor Result.
type Difference struct {
	Write DocumentWrite
	// Live is the document that is there, nil when there is none.
	Live bson.Raw
}

// Error names the document; its content is left out, since it may be secret.
func (d *Difference) Error() string {
	found := "is another one than the change set says"
	if d.Live == nil {
		found = "is gone"
	}
	return fmt.Sprintf("the document %s of %s %s", d.Write.Key, d.Write.NS, found)
}

// CatalogWrite is one change of a catalog that a job asks of a live cluster: a closed list.
type CatalogWrite interface {
	// Target names the namespace that the write changes; of a rename the one it has now.
	Target() Namespace
	// String says what is done, in the words of the server's commands.
	String() string
	catalogWrite()
}

// CreateCollection creates a collection or a view under a name that must be free. Options come as listCollections gives
// them; indexes other than that of _id are not made, and the UUID of Collection is not kept.
type CreateCollection struct{ Collection Collection }

// DropCollection drops a view, or a collection without documents. UUID is the one that may be dropped and no other; zero for
// a view. A collection with another identity, or with a document in it, is a conflict.
type DropCollection struct {
	NS   Namespace
	UUID UUID
}

// RenameCollection gives a collection a name that must be free.
type RenameCollection struct {
	UUID     UUID
	From, To Namespace
}

// CreateIndexes builds all specs in one command and returns when they are ready on a majority.
type CreateIndexes struct {
	NS    Namespace
	UUID  UUID
	Specs []bson.Raw
}

// DropIndex drops the index with the name of Spec.
type DropIndex struct {
	NS   Namespace
	UUID UUID
	Spec bson.Raw
}

// ModifyCollection changes options or one index in place. Changes are the fields of collMod after the name of the
// collection.
type ModifyCollection struct {
	NS      Namespace
	UUID    UUID
	Changes bson.Raw
}

// Target names the collection to be.
func (w CreateCollection) Target() Namespace { return w.Collection.NS }

// Target names the collection to go.
func (w DropCollection) Target() Namespace { return w.NS }

// Target gives the present name.
func (w RenameCollection) Target() Namespace { return w.From }

// Target names the collection.
func (w CreateIndexes) Target() Namespace { return w.NS }

// Target names the collection.
func (w DropIndex) Target() Namespace { return w.NS }

// Target names the collection.
func (w ModifyCollection) Target() Namespace { return w.NS }

func (w CreateCollection) String() string { return "create " + w.Collection.NS.String() }
func (w DropCollection) String() string   { return "drop " + w.NS.String() }
func (w RenameCollection) String() string {
	return "renameCollection " + w.From.String() + " to " + w.To.String()
}
func (w CreateIndexes) String() string {
	text := "createIndexes on " + w.NS.String() + ":"
	for _, spec := range w.Specs {
		text += " " + IndexName(spec)
	}
	return text
}
func (w DropIndex) String() string {
	return "dropIndexes on " + w.NS.String() + ": " + IndexName(w.Spec)
}
func (w ModifyCollection) String() string { return "collMod " + w.NS.String() }

func (CreateCollection) catalogWrite() {}
func (DropCollection) catalogWrite()   {}
func (RenameCollection) catalogWrite() {}
func (CreateIndexes) catalogWrite()    {}
func (DropIndex) catalogWrite()        {}
func (ModifyCollection) catalogWrite() {}

// WriteBlock is what a cluster says about its switch that stops the writes of users (setUserWriteBlockMode, 6.0 and later).
type WriteBlock struct {
	// Standing reports whether user writes are blocked now, by whomever.
	Standing bool
	// MaySet reports whether the server has the switch and our user may turn it on and off.
	MaySet bool
	// MayPass reports whether our user can write while it is on. Without authentication nobody can.
	MayPass bool
	// Missing says in words what stands in the way of using the switch; empty when nothing does.
	Missing string
}

// Usable reports whether a job can block others and go on writing itself.
func (b WriteBlock) Usable() bool { return b.MaySet && b.MayPass }
