// Package restore brings a live cluster back to a moment T, and reverses what it did.
//
// A rewind is one job, and each of its steps is published before it is taken:
//
//  1. Plan makes the intent: what will be done to which namespaces, why, at what price, and what stands in the way.
//  2. Bulk evidence: a snapshot of the scope, unless the archive can seal the present state.
//  3. Freeze: the writes of others are blocked, or proven absent. F is that moment.
//  4. Seal: the archive reaches F, what the state at E = F needs is held and looked at.
//  5. Change set: every document that an entry of (T, F] touched, at T and at F; live and folded must be the same bytes.
//     Published and read back, it is at once the work list, the undo record and the lost set.
//  6. Write, guarded: only what the change set says, only while nobody else writes.
//  7. Verify every touched key and the catalog.
//  8. Unfreeze our own block, publish the result.
//
// Undo is the same job on the keys of another one, in the other direction. Resume goes on with a job that was stopped, at
// any point: what is done is recognised by the state of documents and catalog, not by memory. Copy writes a view of a
// moment under names that did not exist.
//
// Before the first write every stop lifts the job's own block and leaves the cluster as it was; after it every failure is
// of kind halfway. The package decides nothing about screens: who calls it shows the intent and has the name typed.
package restore
