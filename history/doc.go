// Package history answers what a database was like at a moment, and what happened to it between two moments, from one
// snapshot and the oplog that follows it, without a server.
//
// The fold, which everything else rests on:
//
//  1. State begins as the snapshot: collections by UUID, documents by key.
//  2. Each committed group of operations is applied in order. Names, options and indexes follow the commands by UUID,
//     documents follow inserts, updates and deletes.
//  3. Up to the moment at which the snapshot is exact, an entry may meet a document that already has later changes, or
//     that is gone: such a fold converges, so what does not fit is passed over. After that moment it is an error.
//
// What comes out is byte for byte what the server would show: documents, collection options as listCollections gives
// them, index specs as listIndexes gives them. Natural order is not modelled. Nothing here writes anywhere.
package history
