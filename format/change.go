package format

import (
	"fmt"
	"math"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

// EncodeChange gives a change as it stands in a change set: {n, ns, uuid, key, class, e, t, first, last, ops, bursts}.
func EncodeChange(c pitr.Change) bson.Raw {
	b := newDocument()
	b.int64("n", c.N)
	b.string("ns", c.NS.String())
	b.uuid("uuid", c.UUID)
	b.value("key", c.Key.Stored())
	b.string("class", string(c.Class))
	b.document("e", c.E)
	b.document("t", c.T)
	b.opTime("first", c.First)
	b.opTime("last", c.Last)
	b.int64("ops", int64(c.Ops))
	b.begin(bson.TypeArray, "bursts")
	for i, burst := range c.Bursts {
		b.int32(fmt.Sprint(i), burst)
	}
	b.end()
	return b.done()
}

// EncodeCatalogStep gives a catalog step as it stands in a change set: {n, ns, uuid, step, e, t}, and the complete
// catalog entries of both sides as ce and ct.
func EncodeCatalogStep(s pitr.CatalogStep) bson.Raw {
	b := newDocument()
	b.int64("n", s.N)
	b.string("ns", s.NS.String())
	b.uuid("uuid", s.UUID)
	b.string("step", string(s.Step))
	b.document("e", s.E)
	b.document("t", s.T)
	b.entireCollection("ce", s.CollectionE)
	b.entireCollection("ct", s.CollectionT)
	return b.done()
}

// IsCatalogStep reports whether a document of a change set is a catalog step. All of them come before the changes.
func IsCatalogStep(document bson.Raw) bool {
	return document.Lookup("step").Type == bson.TypeString
}

var classes = map[pitr.Class]bool{
	pitr.ClassCreated: true, pitr.ClassChanged: true, pitr.ClassDeleted: true,
	pitr.ClassCameAndWent: true, pitr.ClassUnchanged: true, pitr.ClassExpired: true,
}

var steps = map[pitr.Step]bool{
	pitr.StepCreated: true, pitr.StepDropped: true, pitr.StepRecreated: true, pitr.StepRenamed: true,
	pitr.StepOptions: true, pitr.StepIndexCreated: true, pitr.StepIndexDropped: true, pitr.StepIndexChanged: true,
}

// DecodeChange reads a change. Its class and both sides must fit together, and each side must have the change's key: what
// is read here decides what is written to a cluster. Documents alias the argument.
func DecodeChange(document bson.Raw) (pitr.Change, error) {
	f := readFields(document)
	c := pitr.Change{
		N: f.int64("n"), NS: f.namespace("ns"), UUID: f.uuid("uuid"), Class: pitr.Class(f.string("class")),
		E: f.optional("e"), T: f.optional("t"), First: f.opTime("first"), Last: f.opTime("last"),
		Ops: int(f.count("ops", math.MaxInt32)),
	}
	for _, value := range f.list("bursts") {
		burst, ok := value.Int32OK()
		if !ok {
			f.fail("bursts", fmt.Errorf("no list of numbers"))
		}
		c.Bursts = append(c.Bursts, int(burst))
	}
	id, _ := f.value("key")
	key, err := pitr.NewKey(id)
	if err != nil {
		f.fail("key", err)
	}
	c.Key = key
	if f.err == nil {
		f.err = checkChange(c)
	}
	if f.err != nil {
		return pitr.Change{}, pitr.Corruptf("read a change", "%w", f.err)
	}
	return c, nil
}

// checkChange compares what a change says with the documents it carries.
func checkChange(c pitr.Change) error {
	expired := c.Class == pitr.ClassExpired && c.T != nil
	if !classes[c.Class] || (!expired && c.Class != pitr.Classify(c.E, c.T)) {
		return fmt.Errorf("change %d is of class %.40q, its documents are not", c.N, c.Class)
	}
	for _, side := range []bson.Raw{c.E, c.T} {
		if side == nil {
			continue
		}
		key, err := pitr.KeyOf(side)
		if err != nil || key.Equal() != c.Key.Equal() {
			return fmt.Errorf("change %d has a document of another key", c.N)
		}
	}
	return nil
}

// DecodeCatalogStep reads a catalog step. Documents alias the argument.
func DecodeCatalogStep(document bson.Raw) (pitr.CatalogStep, error) {
	f := readFields(document)
	s := pitr.CatalogStep{
		N: f.int64("n"), NS: f.namespace("ns"), UUID: f.uuid("uuid"), Step: pitr.Step(f.string("step")),
		E: f.optional("e"), T: f.optional("t"),
		CollectionE: f.entireCollection("ce"), CollectionT: f.entireCollection("ct"),
	}
	if f.err == nil && !steps[s.Step] {
		f.err = fmt.Errorf("an unknown step %.40q", s.Step)
	}
	if f.err != nil {
		return pitr.CatalogStep{}, pitr.Corruptf("read a catalog step", "%w", f.err)
	}
	return s, nil
}

func (b *builder) entireCollection(key string, c *pitr.Collection) {
	if c == nil {
		return
	}
	b.begin(bson.TypeEmbeddedDocument, key)
	b.collection(*c)
	b.end()
}

func (f *fields) entireCollection(key string) *pitr.Collection {
	if !f.has(key) {
		return nil
	}
	inner := readFields(f.document(key))
	c := inner.collection()
	if inner.err != nil {
		f.fail(key, inner.err)
	}
	return &c
}
