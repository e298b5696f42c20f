// Package function has the aggregation operators that are plain functions of their arguments: arithmetic, comparison, arrays,
// text, dates and conversions. Each is found by its name and takes the values of its arguments; a missing value is the zero Value.
//
// Operators that bind variables or leave arguments unevaluated are not here but in expr.
package function
