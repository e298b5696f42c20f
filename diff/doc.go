// Package diff compares two states of the same databases: E, the later and usually damaged one, and T, the earlier one.
// It yields values; whoever prints, counts, reviews or writes takes them as they come.
//
//  1. Pair matches the collections of both catalogs, by name, and by identity where one was renamed.
//  2. Steps lists what differs in the catalogs: collections, options, indexes.
//  3. Compare reads both sides of each pair at the same pace and settles every document as soon as it has met its
//     partner, so memory is needed for the differences and for how far the orders of the sides drift apart, not for the
//     databases.
//  4. Fields says where two versions of one document differ.
//
// It does not know where a side comes from (a server, a snapshot, a view of a moment), it does not write, and it does
// not decide which differences matter.
package diff
