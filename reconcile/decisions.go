package reconcile

// Decisions are what people and rules have said about the records of a change set.
type Decisions interface {
	// Of gives the decision about the change with a number; false when nobody has said anything about it, which leaves it.
	Of(n int64) (Decision, bool)
}

// Over lets what is decided first stand, and asks the rest about every other record.
func Over(first, rest Decisions) Decisions { return over{first, rest} }

type over struct{ first, rest Decisions }

// Of gives the decision about a change.
func (o over) Of(n int64) (Decision, bool) {
	if decision, found := o.first.Of(n); found {
		return decision, true
	}
	return o.rest.Of(n)
}
