// Package aggregate runs aggregation pipelines over a stream of raw documents, stage by stage.
//
// It reads no collection by itself and writes none: the input is given, other collections come from a function, and what $out
// and $merge would write is yielded.
package aggregate
