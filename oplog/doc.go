// Package oplog knows what the entries of a MongoDB oplog mean, and moves them into a repository and out again.
//
// Meaning, in the order in which history is folded:
//
//  1. Decode reads the few fields of an entry that matter, keeps its bytes, and finds its kind in one closed list (Rules).
//     Each kind is applied, skipped or refused, and says why; a word that is not in the list is an error that names it.
//  2. Assembler joins the entries of transactions and batches into committed groups. A group carries the moment that
//     counts for it, so that a bound T includes all of its operations or none.
//  3. ApplyUpdate brings the payload of one update to bear on one document, byte for byte as the server does.
//
// What a document's history adds up to is the matter of package history. Nothing here talks to a server.
package oplog
