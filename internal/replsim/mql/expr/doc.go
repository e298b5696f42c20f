// Package expr compiles aggregation expressions and evaluates them on documents.
//
// An expression becomes a tree of nodes once. Most operators are plain functions of their arguments' values; the few that bind
// variables or skip arguments are nodes of their own. Variables live in numbered slots of a scope that each evaluation brings
// along, so that a compiled expression can be used by many goroutines. The projections of $project and $addFields are here too,
// because they are trees of expressions.
//
// It knows nothing of filters, stages or collections.
package expr
