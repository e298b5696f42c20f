package update

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql"
	"pitr/internal/replsim/mql/expr"
	"pitr/internal/replsim/mql/value"
)

// Options belong to one update statement.
type Options struct {
	mql.Options
	// ArrayFilters is the statement's array, or the zero value.
	ArrayFilters bson.RawValue
	// Constants is the statement's c document for pipelines, or nil.
	Constants bson.Raw
	// Filter is the statement's compiled q: the positional operator and upserts need it.
	Filter *mql.Filter
}

// Update is a compiled update statement. It is safe for concurrent use.
type Update struct {
	filter *mql.Filter
	// One of the three is set.
	tree        *objectNode
	replacement bson.Raw
	pipeline    []expr.Transform
	positional  bool
}

// Compile reads the u of an update statement or the update of findAndModify: a document or an array (pipeline). Its bytes must
// not change afterwards.
func Compile(u bson.RawValue, o Options) (*Update, error) {
	v := value.Of(u)
	if d := v.Document(); d != nil && len(d) < len(value.Empty()) {
		return nil, value.Errorf(value.InvalidBSON, "BSON size %d is too small", len(d))
	}
	filters, err := parseFilters(value.Of(o.ArrayFilters), o.Options)
	if err != nil {
		return nil, err
	}
	out := &Update{filter: o.Filter}
	switch {
	case v.Type == bson.TypeArray:
		if len(filters) > 0 {
			return nil, failed("arrayFilters may not be specified for pipeline-style updates")
		}
		out.pipeline, err = compilePipeline(v, o)
	case v.Type != bson.TypeEmbeddedDocument:
		return nil, failed("Update argument must be either an object or an array")
	case o.Constants != nil:
		return nil, value.Errorf(51198, "Constant values may only be specified for pipeline updates")
	case strings.HasPrefix(value.FirstName(bson.Raw(v.Data)), "$"):
		p := parser{root: &objectNode{}, filters: filters, used: map[string]bool{}, opts: o.Options}
		err = p.document(bson.Raw(v.Data))
		out.tree, out.positional = p.root, hasPositional(p.root)
	default:
		if len(filters) > 0 {
			return nil, failed("arrayFilters may not be specified for replacement updates")
		}
		out.replacement = bson.Raw(v.Data)
	}
	return out, err
}

func hasPositional(n node) bool {
	switch n := n.(type) {
	case *objectNode:
		return n.positional != nil || slices.ContainsFunc(n.branches, func(b branch) bool { return hasPositional(b.node) })
	case *arrayNode:
		return slices.ContainsFunc(n.branches, func(b branch) bool { return hasPositional(b.node) })
	}
	return false
}

func compilePipeline(v value.Value, o Options) ([]expr.Transform, error) {
	env := o.Environment()
	env.Let = joinDocuments(env.Let, o.Constants)
	out := make([]expr.Transform, 0, 2)
	for _, s := range v.Elements() {
		if s.Type != bson.TypeEmbeddedDocument {
			return nil, value.Errorf(value.TypeMismatch, "Each element of the 'pipeline' array must be an object")
		}
		if s.Len() != 1 {
			return nil, value.Errorf(40323, "A pipeline stage specification object must contain exactly one field.")
		}
		name := value.FirstName(bson.Raw(s.Data))
		t, err := expr.CompileTransform(name, value.Field(bson.Raw(s.Data), name), env)
		if err != nil {
			return nil, err
		}
		if t == nil {
			if stages[name] {
				return nil, value.Errorf(value.InvalidOptions, "%s is not allowed to be used within an update", name)
			}
			return nil, value.Errorf(40324, "Unrecognized pipeline stage name: '%s'", name)
		}
		out = append(out, t)
	}
	return out, nil
}

// stages are pipeline stages that exist but not in updates.
var stages = map[string]bool{"$match": true, "$group": true, "$sort": true, "$limit": true, "$skip": true, "$unwind": true,
	"$count": true, "$lookup": true, "$facet": true, "$sample": true, "$out": true, "$merge": true, "$unionWith": true,
	"$sortByCount": true, "$bucket": true, "$bucketAuto": true, "$graphLookup": true, "$redact": true, "$geoNear": true,
	"$setWindowFields": true, "$densify": true, "$fill": true, "$documents": true, "$collStats": true, "$indexStats": true}

func joinDocuments(a, b bson.Raw) bson.Raw {
	if a == nil || b == nil {
		return append(a, b...)
	}
	out, at := value.Begin(nil)
	out = append(append(out, a[4:len(a)-1]...), b[4:len(b)-1]...)
	return value.End(out, at)
}

// Replacement says whether the update is a whole document: those are refused with multi.
func (u *Update) Replacement() bool { return u.replacement != nil }

// Moment is what $currentDate and empty timestamps of replacements become.
type Moment struct {
	Now time.Time
	// Timestamp gives the next cluster time; without it the clock's second counts.
	Timestamp func() bson.Timestamp
}

func (m Moment) timestamp() bson.Timestamp {
	if m.Timestamp == nil {
		return bson.Timestamp{T: uint32(m.Now.Unix()), I: 1}
	}
	return m.Timestamp()
}

// Result is what an update did to one document.
type Result struct {
	// After is the document as stored.
	After bson.Raw
	// O is the payload of the oplog entry; nil if the update changed nothing and is not logged.
	O bson.Raw
}

// Apply updates one document that matched the filter.
func (u *Update) Apply(before bson.Raw, m Moment) (Result, error) {
	var r Result
	var err error
	switch {
	case u.tree != nil:
		r, err = u.operate(before, m)
	case u.replacement != nil:
		var done bool
		if r.After, done, err = replaced(before, stamped(u.replacement, m), dollarRefused); done {
			r.O = r.After
		}
	default:
		r, err = u.pipe(before)
	}
	if err != nil {
		return Result{}, err
	}
	if r.O == nil {
		return Result{After: before}, nil
	}
	if r.After = idFirst(r.After); len(r.After) > maxSize {
		return Result{}, value.Errorf(17419, "Resulting document after update is larger than %d", maxSize)
	}
	return r, nil
}

func (u *Update) operate(before bson.Raw, m Moment) (Result, error) {
	a := applier{root: newRoot(before), log: newChange(inDocument), moment: m}
	if u.positional && u.filter != nil {
		i, ok, err := u.filter.Position(before)
		if err != nil {
			return Result{}, err
		}
		if ok && i >= 0 {
			a.matched = strconv.Itoa(i)
		}
	}
	done, err := a.apply(u.tree, place{e: a.root})
	if err != nil || !done {
		return Result{}, err
	}
	return Result{After: bson.Raw(a.root.value().Data), O: a.log.payload()}, nil
}
