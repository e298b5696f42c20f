package aggregate_test

import (
	"context"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql"
	"pitr/internal/replsim/mql/aggregate"
	"pitr/internal/replsim/mql/value"
)

// FuzzPipeline compiles any pipeline and runs it on any documents: nothing may panic, and what comes out is sound.
func FuzzPipeline(f *testing.F) {
	for _, e := range expressions {
		f.Add(`[{"$project": {"r": `+e.expr+`}}]`, expressionInput)
	}
	for _, p := range []string{
		`[{"$group": {"_id": "$g", "s": {"$sum": "$n"}, "a": {"$avg": "$n"}, "p": {"$push": "$$ROOT"}, "u": {"$addToSet": "$tags"}}}]`,
		`[{"$unwind": {"path": "$tags", "includeArrayIndex": "sub.i", "preserveNullAndEmptyArrays": true}}, {"$sort": {"tags": -1}}]`,
		`[{"$lookup": {"from": "o", "localField": "sub.k", "foreignField": "ref", "as": "j", "let": {"x": "$n"}, "pipeline": [{"$limit": 1}]}}]`,
		`[{"$facet": {"a": [{"$count": "c"}], "b": [{"$sample": {"size": 2}}]}}]`, `[{"$project": {"a.b": 0, "c": 0}}]`,
		`[{"$addFields": {"a.b": 1, "tags.x": "$n"}}, {"$unset": "sub.k"}, {"$replaceRoot": {"newRoot": "$$ROOT"}}]`,
	} {
		f.Add(p, input)
	}
	f.Fuzz(func(t *testing.T, pipeline, docs string) {
		var p, d bson.Raw
		if bson.UnmarshalExtJSON([]byte(`{"p":`+pipeline+`}`), false, &p) != nil || bson.UnmarshalExtJSON([]byte(`{"d":`+docs+`}`), false, &d) != nil {
			return
		}
		var list []bson.Raw
		for _, v := range value.Of(d.Lookup("d")).Elements() {
			if v.Type == bson.TypeEmbeddedDocument {
				list = append(list, bson.Raw(v.Data))
			}
		}
		stream := func(yield func(bson.Raw, error) bool) {
			for _, x := range list {
				if !yield(x, nil) {
					return
				}
			}
		}
		compiled, err := aggregate.Compile(p.Lookup("p"), aggregate.Options{
			Options: mql.Options{}, DB: "d",
			Source: func(context.Context, string, string) aggregate.Documents { return stream },
		})
		if err != nil {
			return
		}
		for out, err := range compiled.Run(context.Background(), stream) {
			if err != nil {
				return
			}
			if !value.Valid(out, 1000) {
				t.Fatalf("unsound: %x", out)
			}
		}
	})
}
