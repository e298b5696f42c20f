// Package guard is the only package that writes to a live cluster.
//
//  1. Freeze: stop the writes of users, or prove that there are none, and learn F, the moment from which nobody else
//     changes the database.
//  2. PlanTo: turn a change set and the catalogs of both moments into an ordered list of batches, such that no unique index
//     ever meets a duplicate on the way.
//  3. Writer: perform the batches. Each document is written only if it equals, byte for byte, what the change set says, and
//     only while the stray watch has seen nobody else's write.
//  4. Watch: read the oplog since F and tell what the change set explains from what it does not.
//
// It knows nothing of repositories: who calls it publishes the change set first and records the steps.
package guard
