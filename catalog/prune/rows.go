package prune

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"pitr/format"
)

// Row is a line of a plan for people: one snapshot, or many things of one kind with one fate and one reason.
type Row struct {
	Verdict Verdict
	Kind    format.Kind
	What    string
	// ID is the snapshot, or the branch.
	ID    format.ID
	Why   []string
	Count int
	Size  int64
	// Since is when a snapshot was stored; Until when the first of what waits has waited long enough.
	Since, Until time.Time
}

// Reason gives the reasons in one line.
func (r Row) Reason() string { return strings.Join(r.Why, "; ") }

// Rows sums a plan up: every snapshot by itself, everything else by kind, verdict and reason.
func (p Plan) Rows() []Row {
	var rows []Row
	for _, item := range p.Snapshots {
		row := Row{Verdict: item.Verdict, Kind: item.Kind, What: "snapshot " + string(item.ID), ID: item.ID, Why: item.Why, Count: 1,
			Size: item.Size, Since: item.Since, Until: item.Until}
		if item.Kind != format.KindManifest {
			row.What = "unfinished " + string(item.ID)
		}
		rows = append(rows, row)
	}
	rows = append(rows, sums(p.Archive)...)
	return append(rows, sums(p.Others)...)
}

func sums(items []Item) []Row {
	type key struct {
		kind    format.Kind
		branch  format.ID
		verdict Verdict
		why     string
	}
	at := map[key]int{}
	var rows []Row
	for _, item := range items {
		k := key{kind: item.Kind, verdict: item.Verdict, why: strings.Join(item.Why, "; ")}
		if item.Kind == format.KindSegment || item.Kind == format.KindHole {
			k.branch = item.ID
		}
		i, known := at[k]
		if !known {
			i = len(rows)
			at[k] = i
			rows = append(rows, Row{Verdict: item.Verdict, Kind: item.Kind, ID: k.branch, Why: item.Why, Until: item.Until})
		}
		rows[i].Count++
		rows[i].Size += item.Size
		if item.Until.Before(rows[i].Until) {
			rows[i].Until = item.Until
		}
	}
	for i, row := range rows {
		rows[i].What = fmt.Sprintf("%d %s", row.Count, words[row.Kind].of(row.Count))
		if row.ID != "" {
			rows[i].What += " of " + string(row.ID)
		}
	}
	slices.SortStableFunc(rows, func(a, b Row) int { return cmp.Compare(a.ID, b.ID) })
	return rows
}

// noun is a word in both numbers.
type noun struct{ one, many string }

func (n noun) of(count int) string {
	switch {
	case n.one == "":
		return "objects of a job without an intent"
	case count == 1:
		return n.one
	}
	return n.many
}

var words = map[format.Kind]noun{
	format.KindSegment: {"segment", "segments"},
	format.KindHole:    {"note of a hole", "notes of holes"},
	format.KindMark:    {"mark", "marks"},
	format.KindHold:    {"hold", "holds"},
	format.KindLease:   {"lease generation", "lease generations"},
}
