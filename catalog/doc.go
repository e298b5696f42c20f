// Package catalog is the repository as a whole: what lies in it, which moments it reaches, who may write to it, and whether
// it is what was written.
//
//   - Repository puts objects (create, confirm by stat, recognise an own object whose reply was lost), reads them back, and
//     lists snapshots, segments, marks, holds, branches and jobs. What makes data visible is put last.
//   - Timeline is a value made of listings: coverage, holes and the way to a moment are pure functions of it.
//   - Lease lets one run at a time do one kind of work, by objects that can only be created.
//   - Package verify looks for damage in levels, from names alone to every document; package prune removes what a policy does
//     not keep and nothing needs.
//
// Algorithm of the timeline: segments are windows whose names carry the digests of the entries at both bounds. Two of them
// join where a bound is equal and the digests are; windows are maximal runs of what joins or overlaps; a bound for which two
// names contradict each other is passed by nobody. A moment is reached by the newest snapshot that was complete by then and
// whose own beginning lies in the same window.
//
// It knows no server and no meaning of an entry: package oplog reads segments, package history folds them.
package catalog
