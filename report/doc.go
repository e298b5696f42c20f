// Package report shows results to people and programs: text, JSON lines, and one HTML page that works from disk with the
// network off. It renders values that other packages made and computes nothing of its own but counts.
//
// Everything that comes from a database or a repository is data: it reaches a terminal with control characters escaped and
// a page as text, never as markup. Fields named by a redaction rule are hidden in every output.
package report
