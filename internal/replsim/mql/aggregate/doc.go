// Package aggregate runs aggregation pipelines over a stream of raw documents.
//
// A pipeline is compiled into stages once. Each stage turns one stream into another; most work document by document, and those
// that must see everything ($sort, $group, $facet) collect their input when the stream is first asked for. A stream ends with the
// first error.
//
// It reads no collection by itself and writes none: the input is given, other collections come from a function, and what $out and
// $merge would write is yielded. Stages that only the server can do are not known here.
package aggregate
