// Package update applies update statements and writes their oplog payloads byte for byte as the server does.
//
// Operators are merged into a tree by path and applied in the order of the paths; what each touched goes into the payload in the
// server's own form. Pipelines and replacements compute the new document; a pipeline's payload is the difference of the two
// images, or the whole image when the difference is not smaller.
//
// It does not find documents, check indexes or write entries.
package update
