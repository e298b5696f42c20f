package history

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/history/fold"
)

// Duplicates are documents that a unique index would refuse.
type Duplicates struct {
	// Groups and Documents count the values that more than one document has, and those documents.
	Groups, Documents int64
	// Shown are the first groups, ordered by the smallest key in them.
	Shown []DuplicateGroup
	// Doubt says in words what the comparison did not take into account; empty where it is exact.
	Doubt string
}

// DuplicateGroup is one value of an index with the keys of the documents that have it.
type DuplicateGroup struct {
	// Value is the value of the first key field, for people.
	Value string
	Keys  []pitr.Key
}

// maxShown bounds the groups that are listed, and the keys of one.
const maxShown = 1000

// Duplicates looks through one of the view's collections for documents that a unique index with this spec would refuse. It
// reads the collection once, and again when there are some; memory follows the number of documents, at some twenty bytes
// each. Errors: kind unsupported for an index that does not hold plain values, limit at Options.MaxBytes.
func (v *View) Duplicates(ctx context.Context, c pitr.Collection, spec bson.Raw) (Duplicates, error) {
	index, err := newKeyReader(spec)
	if err != nil {
		return Duplicates{}, err
	}
	repeated, err := v.repeatedValues(ctx, c, index)
	if err != nil || len(repeated) == 0 {
		return Duplicates{Doubt: index.doubt}, err
	}
	groups := map[[16]byte]*DuplicateGroup{}
	sizes := map[[16]byte]int64{}
	for document, err := range v.Documents(ctx, c) {
		if err != nil {
			return Duplicates{}, err
		}
		for _, value := range index.values(document) {
			if !repeated[value.short()] {
				continue
			}
			key, err := pitr.KeyOf(document)
			if err != nil {
				return Duplicates{}, pitr.Corruptf("", "a document of %s: %w", c.NS, err)
			}
			if groups[value.hash] == nil {
				groups[value.hash] = &DuplicateGroup{Value: value.shown}
			}
			if group := groups[value.hash]; len(group.Keys) < maxShown {
				group.Keys = append(group.Keys, key.Clone())
			}
			sizes[value.hash]++
		}
	}
	result := Duplicates{Doubt: index.doubt}
	for hash, group := range groups {
		if sizes[hash] < 2 {
			continue // only the short form of its value was met twice
		}
		result.Groups++
		result.Documents += sizes[hash]
		slices.SortFunc(group.Keys, func(a, b pitr.Key) int { return strings.Compare(a.Equal(), b.Equal()) })
		result.Shown = append(result.Shown, *group)
	}
	slices.SortFunc(result.Shown, func(a, b DuplicateGroup) int { return strings.Compare(a.Keys[0].Equal(), b.Keys[0].Equal()) })
	result.Shown = result.Shown[:min(len(result.Shown), maxShown)]
	return result, nil
}

// repeatedValues gives the short forms of values that were met more than once.
func (v *View) repeatedValues(ctx context.Context, c pitr.Collection, index keyReader) (map[uint64]bool, error) {
	const perValue = 20
	seen, repeated := map[uint64]struct{}{}, map[uint64]bool{}
	for document, err := range v.Documents(ctx, c) {
		if err != nil {
			return nil, err
		}
		for _, value := range index.values(document) {
			if _, again := seen[value.short()]; again {
				repeated[value.short()] = true
				continue
			}
			seen[value.short()] = struct{}{}
			if int64(len(seen))*perValue > v.history.options.MaxBytes {
				return nil, fold.LimitError(v.history.options.MaxBytes)
			}
		}
	}
	return repeated, nil
}

// keyReader computes the values of an index.
type keyReader struct {
	paths  [][]string
	sparse bool
	filter bson.Raw
	doubt  string
}

func newKeyReader(spec bson.Raw) (keyReader, error) {
	var r keyReader
	pattern, _ := spec.Lookup("key").DocumentOK()
	elements, err := pattern.Elements()
	if err != nil || len(elements) == 0 {
		return r, pitr.Errorf(pitr.KindUnsupported, "", "", "the index %q has no key", pitr.IndexName(spec))
	}
	for _, element := range elements {
		if _, isWord := element.Value().StringValueOK(); isWord || strings.Contains(element.Key(), "$**") {
			return r, pitr.Errorf(pitr.KindUnsupported, "", "", "the index %q does not hold plain values", pitr.IndexName(spec))
		}
		r.paths = append(r.paths, strings.Split(element.Key(), "."))
	}
	r.sparse = isYes(spec.Lookup("sparse"))
	r.filter, _ = spec.Lookup("partialFilterExpression").DocumentOK()
	if collation, ok := spec.Lookup("collation").DocumentOK(); ok {
		if locale, _ := collation.Lookup("locale").StringValueOK(); locale != "simple" {
			r.doubt = "strings were compared byte by byte, not by the collation of the index"
		}
	}
	if _, understood := matches(r.filter, bson.Raw{5, 0, 0, 0, 0}); !understood {
		r.doubt = strings.TrimPrefix(r.doubt+"; the partial filter of the index was not understood: documents outside it count", "; ")
	}
	return r, nil
}

// indexValue is one value of an index: a digest for comparison, and what a person sees.
type indexValue struct {
	hash  [16]byte
	shown string
}

// short gives a form that unlike values may share.
func (v indexValue) short() uint64 { return binary.LittleEndian.Uint64(v.hash[:]) }

// values gives the values that the index has for a document: several where a path leads through an array, none where the
// index leaves the document out.
func (r keyReader) values(document bson.Raw) []indexValue {
	if match, understood := matches(r.filter, document); understood && !match {
		return nil
	}
	tuples, found, shown := [][]byte{nil}, false, ""
	for i, path := range r.paths {
		reached := reach(document, path)
		found = found || len(reached) > 0
		if len(reached) == 0 {
			reached = []bson.RawValue{{Type: bson.TypeNull}}
		}
		if i == 0 {
			shown = reached[0].String()
		}
		var next [][]byte
		for _, tuple := range tuples {
			for _, value := range reached {
				form := equalForm(value)
				extended := binary.AppendUvarint(slices.Clone(tuple), uint64(len(form)))
				next = append(next, append(extended, form...))
			}
		}
		tuples = next
	}
	if r.sparse && !found {
		return nil
	}
	values := make([]indexValue, 0, len(tuples))
	for _, tuple := range tuples {
		value := indexValue{hash: digest(tuple), shown: shown}
		if !slices.Contains(values, value) {
			values = append(values, value)
		}
	}
	return values
}

// equalForm gives bytes that are equal for two values when the server takes the values for equal.
func equalForm(value bson.RawValue) string {
	switch value.Type {
	case 0, bson.TypeNull, bson.TypeUndefined:
		return "null"
	}
	// An identity can be of fewer types than an indexed value; inside a document all of them are allowed.
	wrapped, err := bson.Marshal(bson.D{{Key: "", Value: value}})
	if err == nil {
		var key pitr.Key
		if key, err = pitr.NewKey(bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: wrapped}); err == nil {
			return key.Equal()
		}
	}
	return fmt.Sprintf("%d:%x", value.Type, value.Value)
}
