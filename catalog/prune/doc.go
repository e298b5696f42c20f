// Package prune removes from a repository what its retention policy does not want and nothing needs.
//
// Algorithm:
//
//  1. Load makes an Inventory: one listing, then the small objects (manifests, marks, holds, jobs), read after the listing so
//     that nothing which is newer than the listing can be taken for rubbish.
//  2. PlanOf, a pure function, names for every snapshot, segment, note, mark, hold and leftover why it stays, or that it goes.
//     What stays: snapshots that a rule chooses, that somebody holds, that a job may still need, the newest good ones, and the
//     bases from which every promised moment is reached; of the archive, what those snapshots and moments need.
//  3. Run publishes what goes in condemned/, and removes nothing of it for a day. A run that comes after that makes a new
//     inventory and a new plan, and removes what is condemned and still goes. The lists have no authority: they only make sure
//     that whoever wants to hold something had a day to say so, and that nobody holds what may vanish at any moment.
//  4. Removal goes against the order of writing: expired holds, then manifests, then what they named, then segments by their
//     ends, so that at every moment what is left is whole. A break in the archive gets its note before it comes to be.
//
// All ages are by the clock of the store, never by that of the machine or by what an object says of itself: a writer who may not
// delete cannot make prune do it by inventing dates. What cannot be read may need anything: then nothing is removed.
//
// It never removes branches, jobs, reviews, journals, and what pitr did not put there.
package prune
