// Package mql is the query language of the simulated server: filters, sorts, projections and the keys of indexes, compiled once
// and then applied to raw documents without decoding them.
//
// A filter becomes a tree of predicates. A predicate walks its path through the raw bytes, unwinds arrays on the way as the
// server does, and compares values in place. Errors carry the server's codes and messages.
//
// It holds no documents and plans nothing: collections, indexes and cursors belong to the server around it. Its parts stand in
// packages of their own: value (single values), function and expr (expressions and projections), schema ($jsonSchema), update and
// delta (update statements and the replay of what they log), aggregate (pipelines).
package mql
