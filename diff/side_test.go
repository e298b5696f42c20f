package diff_test

import (
	"bytes"
	"context"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

func raw(tb testing.TB, document bson.D) bson.Raw {
	tb.Helper()
	content, err := bson.Marshal(document)
	if err != nil {
		tb.Fatal(err)
	}
	return content
}

// side is a state in memory. It hands out documents in one buffer, as a real side may.
type side struct {
	collections []pitr.Collection
	documents   map[pitr.Namespace][]bson.Raw
	seed        uint64
	failAfter   int
	failure     error
	open        int
}

func (s *side) Collections(context.Context) ([]pitr.Collection, error) {
	return s.collections, nil
}

func (s *side) Documents(_ context.Context, collection pitr.Collection) iter.Seq2[bson.Raw, error] {
	return func(yield func(bson.Raw, error) bool) {
		s.open++
		defer func() { s.open-- }()
		documents := slices.Clone(s.documents[collection.NS])
		if s.seed != 0 {
			random := rand.New(rand.NewPCG(s.seed, 1))
			random.Shuffle(len(documents), func(i, j int) { documents[i], documents[j] = documents[j], documents[i] })
		}
		var buffer []byte
		for i, document := range documents {
			if s.failure != nil && i == s.failAfter {
				yield(nil, s.failure)
				return
			}
			for j := range buffer {
				buffer[j] = 0xee
			}
			buffer = append(buffer[:0], document...)
			if !yield(buffer, nil) {
				return
			}
		}
	}
}

// state is the same as a map, for the model.
type state map[pitr.Namespace]map[string]string

func (s state) side(tb testing.TB, seed uint64) *side {
	result := &side{documents: make(map[pitr.Namespace][]bson.Raw), seed: seed}
	for _, ns := range slices.SortedFunc(maps.Keys(s), pitr.Namespace.Compare) {
		result.collections = append(result.collections, pitr.Collection{NS: ns, UUID: pitr.UUID{ns.Collection[0]}, Type: pitr.TypeCollection})
		for _, document := range s[ns] {
			result.documents[ns] = append(result.documents[ns], bson.Raw(document))
		}
		slices.SortFunc(result.documents[ns], func(a, b bson.Raw) int { return bytes.Compare(a, b) })
	}
	return result
}

func (s state) clone() state {
	copied := make(state)
	for ns, documents := range s {
		copied[ns] = maps.Clone(documents)
	}
	return copied
}

func equalKey(tb testing.TB, document bson.Raw) string {
	tb.Helper()
	key, err := pitr.KeyOf(document)
	if err != nil {
		tb.Fatal(err)
	}
	return key.Equal()
}
