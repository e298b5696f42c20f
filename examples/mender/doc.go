// Package mender tells the incident that pitr is measured against: a migration drops a unique index of a device
// authentication database, duplicates get in, an operator deletes the wrong ones, and good enrollments go on all the time.
//
// The generator writes through an ordinary client and keeps a model of its own: every version of every document, in the
// order in which the server acknowledged them. Every check compares a server with that model, never with what pitr says.
//
//  1. Prepare fills the databases.
//  2. Live starts clients that enroll, change status, refresh tokens and delete, until they are stopped or blocked.
//  3. Migrate drops the index, rewrites a part of the devices, lets duplicates in and fails to build the index again.
//  4. Repair is the operator's clumsy fix.
//  5. Reenroll is life after the restore; PutBack is what the data team's decisions must bring about.
//
// It does not know pitr; the demo command beside it puts the two together.
package mender
