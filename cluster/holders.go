package cluster

import (
	"context"
	"iter"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

const (
	// askedValues and askedBytes bound what one question about an index or a condition carries.
	askedValues = 300
	askedBytes  = 1 << 20
)

// Holders finds the documents that hold one of the values in an index, each document once for each question that it takes.
// A value is a document of the index's fields in order, with their whole dotted names; a null stands for a field that is not
// there, too. Values of data are compared by $eq, never more: none of them can become an operator. The index's own
// condition and collation are respected, and the index answers.
func (p *Primary) Holders(ctx context.Context, ns pitr.Namespace, index bson.Raw, values []bson.Raw) ([]bson.Raw, error) {
	op := "look for holders of values of " + pitr.IndexName(index) + " in " + ns.String()
	asked := p.asked()
	after := pitr.Range{Collection: pitr.Collection{NS: ns}, After: pitr.Timestamp(p.latest.Load())}
	var found []bson.Raw
	for part := range askedParts(values) {
		clauses := make(bson.A, 0, len(part))
		for _, value := range part {
			clause, err := equalities(value)
			if err != nil {
				return nil, pitr.Errorf(pitr.KindInvalid, op, "", "%w", err)
			}
			if filter, partial := index.Lookup("partialFilterExpression").DocumentOK(); partial {
				clause = bson.D{{Key: "$and", Value: bson.A{clause, filter}}}
			}
			clauses = append(clauses, clause)
		}
		command := bson.D{{Key: "find", Value: ns.Collection}, {Key: "filter", Value: bson.D{{Key: "$or", Value: clauses}}},
			{Key: "hint", Value: pitr.IndexName(index)}, {Key: "batchSize", Value: hugeBatch}}
		if collation, has := index.Lookup("collation").DocumentOK(); has {
			command = append(command, bson.E{Key: "collation", Value: collation})
		} else {
			command = append(command, bson.E{Key: "collation", Value: bson.D{{Key: "locale", Value: "simple"}}})
		}
		if concern := asked.readConcern(after); concern != nil {
			command = append(command, bson.E{Key: "readConcern", Value: concern})
		}
		documents, err := asked.reads.all(ctx, order{op: op, db: ns.DB, command: command})
		if err != nil {
			return nil, err
		}
		found = append(found, documents...)
	}
	return found, nil
}

// equalities makes the condition that each field is a value.
func equalities(value bson.Raw) (bson.D, error) {
	elements, err := value.Elements()
	if err != nil {
		return nil, err
	}
	clause := make(bson.D, 0, len(elements))
	for _, element := range elements {
		clause = append(clause, bson.E{Key: element.Key(), Value: bson.D{{Key: "$eq", Value: element.Value()}}})
	}
	return clause, nil
}

// askedParts cuts documents into parts that fit a question.
func askedParts(documents []bson.Raw) iter.Seq[[]bson.Raw] {
	return func(yield func([]bson.Raw) bool) {
		for len(documents) > 0 {
			n, size := 0, 0
			for n < len(documents) && n < askedValues && (n == 0 || size+len(documents[n]) <= askedBytes) {
				size += len(documents[n])
				n++
			}
			if !yield(documents[:n]) {
				return
			}
			documents = documents[n:]
		}
	}
}

// Matching asks the server which documents satisfy a condition, without storing them, and gives the _ids of those that do.
// The documents travel as a literal: nothing in them is evaluated. A server that cannot be asked (before 5.1) is of kind
// unsupported.
func (p *Primary) Matching(ctx context.Context, condition pitr.Condition, documents []bson.Raw) ([]bson.RawValue, error) {
	const op = "ask which documents satisfy a condition"
	asked := p.asked()
	if !asked.version.atLeast(5, 1) {
		return nil, pitr.Errorf(pitr.KindUnsupported, op, "", "the server is older than 5.1 and has no $documents")
	}
	var ids []bson.RawValue
	for part := range askedParts(documents) {
		command := bson.D{{Key: "aggregate", Value: 1}, {Key: "cursor", Value: bson.D{{Key: "batchSize", Value: hugeBatch}}},
			{Key: "pipeline", Value: bson.A{
				bson.D{{Key: "$documents", Value: bson.D{{Key: "$literal", Value: part}}}},
				bson.D{{Key: "$match", Value: condition.Filter}},
				bson.D{{Key: "$project", Value: bson.D{{Key: "_id", Value: 1}}}}}}}
		if condition.Collation != nil {
			command = append(command, bson.E{Key: "collation", Value: condition.Collation})
		}
		found, err := asked.reads.all(ctx, order{op: op, db: condition.DB, command: command})
		if isUnknownToServer(err) {
			return nil, pitr.Errorf(pitr.KindUnsupported, op, "", "%w", err)
		}
		if err != nil {
			return nil, err
		}
		for _, document := range found {
			ids = append(ids, document.Lookup("_id"))
		}
	}
	return ids, nil
}
