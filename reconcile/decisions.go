package reconcile

// Decisions are what people and rules have said about the records of a change set.
type Decisions interface {
	// Of gives the decision about the change with a number; false when nobody has said anything about it, which leaves it.
	Of(n int64) (Decision, bool)
}
