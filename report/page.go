package report

import (
	_ "embed" // the page's own markup and script
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"iter"
	"slices"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

//go:embed page.html
var pageHead string

//go:embed page.js
var pageScript string

var pageTemplate = template.Must(template.New("page").Parse(pageHead))

// Limits of a page: beyond them the page says how much it leaves out and which command lists everything.
const (
	pageRecords    = 10_000
	pageDuplicates = 200
	pageValue      = 2_000
)

// Page is what the self-contained page shows besides the records.
type Page struct {
	Title, Lead string
	Facts       []Fact
	Timeline    []Event
	Duplicates  []DuplicateGroup
	// Next is the command that a reader will want next.
	Next   string
	Footer string
}

// Fact is one number or word at the top.
type Fact struct{ Name, Value string }

// Event is one line of what happened.
type Event struct {
	At    pitr.Timestamp
	What  string
	Where string
}

// Wall gives the second in UTC.
func (e Event) Wall() string { return e.At.Time().Format("2006-01-02 15:04:05") }

// DuplicateGroup is records that share a value which a unique index forbids to share.
type DuplicateGroup struct {
	NS, Index, Value string
	IDs              []string
}

// classes is the order of the columns; what a person must look at comes first.
var classes = []pitr.Class{pitr.ClassCreated, pitr.ClassChanged, pitr.ClassDeleted, pitr.ClassCameAndWent,
	pitr.ClassUnchanged, pitr.ClassExpired}

const legend = "Created: made in the gap, gone after the restore. Changed: both sides have it, with other values. Deleted: was " +
	"deleted in the gap and is back. Came and went: made and deleted within the gap. Unchanged in effect: written to, with the " +
	"same values at the end. Expired: due by a TTL index, left out of the restore."

type pageView struct {
	Page
	Classes        []pitr.Class
	Counts         []countRow
	Legend         string
	MoreDuplicates int
	MoreRecords    int64
}

type countRow struct {
	NS      string
	ByClass []int64
	All     int64
}

type record struct {
	NS     string  `json:"ns"`
	Key    string  `json:"key"`
	Class  string  `json:"class"`
	Ops    int     `json:"ops"`
	First  string  `json:"first"`
	Last   string  `json:"last"`
	Fields []field `json:"fields"`
}

// field is [path, kind, text at T or null, text at E or null, characters cut of each].
type field [6]any

// WritePage writes one HTML file that needs nothing else: no network, no other file. Changes are shown up to a limit and
// counted beyond it.
func WritePage(to io.Writer, page Page, changes iter.Seq2[pitr.Change, error], redact Redactor) error {
	var records []record
	counts := newCounts()
	more := int64(0)
	for change, err := range changes {
		if err != nil {
			return err
		}
		counts.add(change)
		if len(records) == pageRecords {
			more++
			continue
		}
		records = append(records, newRecord(change, redact))
	}
	view := pageView{Page: page, Classes: classes, Counts: counts.rows(), Legend: legend, MoreRecords: more}
	if len(view.Duplicates) > pageDuplicates {
		view.MoreDuplicates = len(view.Duplicates) - pageDuplicates
		view.Duplicates = view.Duplicates[:pageDuplicates]
	}
	if err := pageTemplate.Execute(to, view); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	// encoding/json escapes <, > and &, so no value can close the script element that carries it.
	data, err := json.Marshal(map[string]any{"records": records})
	if err != nil {
		return fmt.Errorf("write the records of the page: %w", err)
	}
	_, err = fmt.Fprintf(to, "<script type=\"application/json\" id=\"data\">%s</script>\n<script>\n%s</script>\n</body>\n</html>\n", data, pageScript)
	return err
}

func newRecord(change pitr.Change, redact Redactor) record {
	e, t := redact.Pair(change.NS, change.E, change.T)
	return record{
		NS: change.NS.String(), Key: keyText(change, redact), Class: string(change.Class), Ops: change.Ops,
		First: change.First.TS.String(), Last: change.Last.TS.String(), Fields: fields(e, t),
	}
}

// keyText shows the key unless a rule hides the _id of this collection.
func keyText(change pitr.Change, redact Redactor) string {
	return string(redact.Key(change.NS, change.Key))
}

func valueText(value bson.RawValue) (text any, cut int) {
	if value.IsZero() {
		return nil, 0
	}
	shown := string(extendedValue(value))
	if len(shown) <= pageValue {
		return shown, 0
	}
	end := pageValue
	for !utf8.RuneStart(shown[end]) {
		end--
	}
	return shown[:end], utf8.RuneCountInString(shown[end:])
}

// counts are changes by namespace and class.
type counts map[pitr.Namespace]map[pitr.Class]int64

func newCounts() counts { return counts{} }

func (c counts) add(change pitr.Change) {
	if c[change.NS] == nil {
		c[change.NS] = map[pitr.Class]int64{}
	}
	c[change.NS][change.Class]++
}

func (c counts) rows() []countRow {
	var rows []countRow
	for ns, byClass := range c {
		row := countRow{NS: ns.String()}
		for _, class := range classes {
			row.ByClass = append(row.ByClass, byClass[class])
			row.All += byClass[class]
		}
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b countRow) int { return int(b.All - a.All) })
	return rows
}
