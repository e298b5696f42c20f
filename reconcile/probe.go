package reconcile

import (
	"context"
	"fmt"
	"hash/maphash"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/guard"
)

// prober finds out which values of unique indexes documents would take, and who holds them now. Values are hashed; only
// the server tells for sure, so that two values that look the same are at worst a question too many.
type prober struct {
	live        Live
	collections map[pitr.Namespace]*pitr.Collection
	indexes     map[pitr.Namespace][]*guard.UniqueIndex
	seed        maphash.Seed
	// notes are what could not be looked at, in words, each once and in order.
	notes []string
}

func newProber(live Live, catalog []pitr.Collection) *prober {
	p := &prober{live: live, seed: maphash.MakeSeed(), collections: map[pitr.Namespace]*pitr.Collection{},
		indexes: map[pitr.Namespace][]*guard.UniqueIndex{}}
	for i := range catalog {
		p.collections[catalog[i].NS] = &catalog[i]
		p.indexes[catalog[i].NS] = guard.UniqueIndexes(catalog[i])
	}
	return p
}

func (p *prober) note(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(p.notes, text) {
		p.notes = append(p.notes, text)
	}
}

// question is a document that would be written under a key, beside what is live under it.
type question struct {
	record         int32
	key            pitr.Key
	document, live bson.Raw
}

// claim is a value that a record would take, though it may hold it already, or that it holds and would free.
type claim struct {
	value  uint64
	record int32
	index  int32
}

// holding is a value that a live document holds, that of a record itself among them.
type holding struct {
	value uint64
	key   pitr.Key
}

// answer is what a prober found out about some documents.
type answer struct {
	takes, frees []claim
	holdings     []holding
}

// ask finds out about documents of one namespace.
func (p *prober) ask(ctx context.Context, ns pitr.Namespace, questions []question) (answer, error) {
	var found answer
	for number, index := range p.indexes[ns] {
		asked := indexQuestion{prober: p, ns: ns, index: index, number: int32(number)} //nolint:gosec // a collection has 64 indexes at most
		if err := asked.run(ctx, questions, &found); err != nil {
			return found, fmt.Errorf("look into the index %s of %s: %w", index.Name, ns, err)
		}
	}
	return found, nil
}

// indexQuestion is a question about one index.
type indexQuestion struct {
	*prober
	ns     pitr.Namespace
	index  *guard.UniqueIndex
	number int32
}

// wanted is a value that somebody would take.
type wanted struct {
	value    uint64
	document bson.Raw
}

func (q indexQuestion) run(ctx context.Context, questions []question, found *answer) error {
	questions = slices.DeleteFunc(slices.Clone(questions), func(each question) bool {
		return each.document == nil && each.live == nil || q.index.SameKey(each.document, each.live)
	})
	within, err := q.within(ctx, questions)
	if err != nil {
		return err
	}
	var values []wanted
	known := map[uint64]bool{}
	for _, each := range questions {
		held, err := q.values(each.live)
		if err != nil {
			return err
		}
		var taken map[uint64]bson.Raw
		if within[each.record] {
			if taken, err = q.values(each.document); err != nil {
				return err
			}
		}
		for value, document := range taken {
			found.takes = append(found.takes, claim{value: value, record: each.record, index: q.number})
			if !known[value] {
				values = append(values, wanted{value: value, document: document})
			}
			known[value] = true
		}
		for value := range held {
			if _, kept := taken[value]; !kept {
				found.frees = append(found.frees, claim{value: value, record: each.record, index: q.number})
			}
		}
	}
	return q.holders(ctx, values, func(value uint64, key pitr.Key) {
		found.holdings = append(found.holdings, holding{value: value, key: key})
	})
}

// values gives the values of a document by their hashes; those of an absent one are none.
func (q indexQuestion) values(document bson.Raw) (map[uint64]bson.Raw, error) {
	if document == nil {
		return nil, nil
	}
	tuples, told := q.index.Tuples(document)
	if !told {
		q.note("the unique index %s of %s could not be looked at beforehand for every record; what it refuses is left out while writing", q.index.Name, q.ns)
	}
	values := make(map[uint64]bson.Raw, len(tuples))
	for _, tuple := range tuples {
		fields := make(bson.D, 0, len(tuple.Fields))
		for i, name := range tuple.Fields {
			value := any(tuple.Values[i])
			if kind := tuple.Values[i].Type; kind == 0 || kind == bson.TypeUndefined {
				value = nil
			}
			fields = append(fields, bson.E{Key: name, Value: value})
		}
		content, err := bson.Marshal(fields)
		if err != nil {
			return nil, fmt.Errorf("take a document apart: %w", err)
		}
		values[q.hash(tuple.Form)] = content
	}
	return values, nil
}

func (q indexQuestion) hash(form string) uint64 {
	return maphash.String(q.seed, fmt.Sprintf("%s\x00%d\x00%s", q.ns, q.number, form))
}

// within tells which documents a partial index takes in. Where the server cannot be asked, all that may be are.
func (q indexQuestion) within(ctx context.Context, questions []question) (map[int32]bool, error) {
	inside := make(map[int32]bool, len(questions))
	var documents []bson.Raw
	for _, each := range questions {
		inside[each.record] = true
		if each.document != nil {
			documents = append(documents, each.document)
		}
	}
	if q.index.Filter == nil || len(documents) == 0 {
		return inside, nil
	}
	ids, err := q.live.Matching(ctx, pitr.Condition{DB: q.ns.DB, Filter: q.index.Filter, Collation: q.index.Collation}, documents)
	if pitr.KindOf(err) == pitr.KindUnsupported {
		q.note("the server cannot be asked which records the partial index %s of %s takes in; all that may be are taken for it", q.index.Name, q.ns)
		return inside, nil
	}
	if err != nil {
		return nil, err
	}
	matching, err := keysOf(ids)
	if err != nil {
		return nil, err
	}
	for _, each := range questions {
		inside[each.record] = matching[each.key.Equal()]
	}
	return inside, nil
}

// keysOf gives the equality forms of ids.
func keysOf(ids []bson.RawValue) (map[string]bool, error) {
	keys := make(map[string]bool, len(ids))
	for _, id := range ids {
		key, err := pitr.NewKey(id)
		if err != nil {
			return nil, err
		}
		keys[key.Equal()] = true
	}
	return keys, nil
}

// holders finds who holds the values. What the server finds by a collation that we know in another way is told apart by
// asking for fewer values at a time.
func (q indexQuestion) holders(ctx context.Context, values []wanted, found func(uint64, pitr.Key)) error {
	if len(values) == 0 {
		return nil
	}
	documents := make([]bson.Raw, 0, len(values))
	known := make(map[uint64]bool, len(values))
	for _, value := range values {
		documents = append(documents, value.document)
		known[value.value] = true
	}
	holding, err := q.live.Holders(ctx, q.ns, q.index.Spec, documents)
	if err != nil {
		return err
	}
	stranger := false
	for _, document := range holding {
		key, err := pitr.KeyOf(document)
		if err != nil {
			return err
		}
		held, err := q.values(document)
		if err != nil {
			return err
		}
		matched := false
		for value := range held {
			if known[value] {
				matched = true
				found(value, key.Clone())
			}
		}
		if !matched && q.index.Collation != nil && len(values) == 1 {
			found(values[0].value, key.Clone())
		}
		stranger = stranger || !matched
	}
	if !stranger || q.index.Collation == nil || len(values) == 1 {
		return nil
	}
	for _, half := range [][]wanted{values[:len(values)/2], values[len(values)/2:]} {
		if err := q.holders(ctx, half, found); err != nil {
			return err
		}
	}
	return nil
}
