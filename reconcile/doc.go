// Package reconcile puts chosen records of a lost set back into life.
//
//  1. Plan looks at every record of a job's lost set three ways: at T, at E, and live now. It says what has become of it,
//     shows both sides' changes field by field where both have changed, groups what collides in a unique index, and suggests
//     a decision with its reason.
//  2. People decide: by rules, and record by record in a review file or on the page. Import reads the token and the
//     decision of a row and nothing else.
//  3. Apply writes what was decided, as a job of its own: intent, change set, guarded transactions, and a comparison until
//     nothing is left. What has changed meanwhile, or would collide, is left out and listed.
//
// It writes through package guard only, while the service is up: there is no freeze, and each document is written only if
// it is, byte for byte, what the change set says. `pitr undo` reverses an apply.
package reconcile
