// Package expr compiles aggregation expressions and evaluates them on a document.
package expr
