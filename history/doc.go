// Package history answers what a database was like at a moment, and what happened to it between two moments, from one
// snapshot and the oplog that follows it, without a server.
//
// Everything rests on package fold, which brings entries to bear on documents in memory. A View takes from the base what
// entries did not touch, and folds the rest. A Gap folds what entries touched between two moments to both of them. Find,
// Candidates and Trace look for the culprit: what was taken away, when, and what going back before it would cost. All of
// them read entries in order, some twice, and hold in memory what was touched, no more. Nothing here writes anywhere.
package history
