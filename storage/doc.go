// Package storage keeps immutable objects: it says what pitr expects of a place where objects lie, and has the places that
// need no client of their own.
//
//   - Store is the contract. It has no way to change an object: create, read, list, delete.
//   - Memory keeps objects in the process, Folder in a local folder; storage/s3 keeps them in a bucket.
//   - ReadOnly, Retry and Overlay decorate a store: they add one behaviour each and keep the contract.
//   - Probe finds out whether a store keeps the promises that a repository needs.
//
// Names are checked here against one grammar (CheckName), so that no store ever sees a name that could leave its folder.
// What the names mean is not known here: that is package format. Digests of objects are the caller's too: a store passes on
// what it was told and detects lost or doubled bytes of one transfer, but it does not decide whether an object is genuine.
package storage
