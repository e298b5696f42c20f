package guard

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

// Steps says what happened to a catalog between two moments, as it stands in a change set: one step for each collection
// that came, went or got another identity or name, each change of options, and each index. Every step carries the
// complete entries of both sides.
func Steps(e, t []pitr.Collection) []pitr.CatalogStep {
	var steps []pitr.CatalogStep
	for _, both := range pair(e, t) {
		steps = append(steps, both.steps()...)
	}
	for i := range steps {
		steps[i].N = int64(i + 1)
	}
	return steps
}

func (s sides) steps() []pitr.CatalogStep {
	var steps []pitr.CatalogStep
	add := func(kind pitr.Step, e, t bson.Raw) {
		step := pitr.CatalogStep{Step: kind, NS: s.name(), E: e, T: t, CollectionE: s.e, CollectionT: s.t}
		if s.e != nil {
			step.UUID = s.e.UUID
		}
		steps = append(steps, step)
	}
	switch {
	case s.t == nil:
		add(pitr.StepCreated, s.e.Options, nil)
		return steps
	case s.e == nil:
		add(pitr.StepDropped, nil, s.t.Options)
		return steps
	case s.e.UUID != s.t.UUID || s.e.Type != s.t.Type:
		add(pitr.StepRecreated, s.e.Options, s.t.Options)
	case s.e.NS != s.t.NS:
		add(pitr.StepRenamed, s.e.Options, s.t.Options)
	}
	if !sameOptions(s.e.Options, s.t.Options) {
		add(pitr.StepOptions, s.e.Options, s.t.Options)
	}
	for _, spec := range s.t.Indexes {
		switch live := s.e.Index(pitr.IndexName(spec)); {
		case live == nil:
			add(pitr.StepIndexDropped, nil, spec)
		case !SameIndex(live, spec):
			add(pitr.StepIndexChanged, live, spec)
		}
	}
	for _, spec := range s.e.Indexes {
		if s.t.Index(pitr.IndexName(spec)) == nil {
			add(pitr.StepIndexCreated, spec, nil)
		}
	}
	return steps
}
