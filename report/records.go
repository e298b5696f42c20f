package report

import (
	"encoding/json"
	"fmt"
	"slices"

	"pitr"
	"pitr/reconcile"
)

// Limits of a page: beyond them the page says how much it leaves out and which command lists everything.
const (
	pageRecords     = 10_000
	pageGroups      = 200
	pageMembers     = 20
	pageEvents      = 300
	pageCollections = 500
	// pageName is the most bytes of an _id, a shared value or a sentence.
	pageName = 300
	// pageData is the most bytes that the records may take: what is left of 10 MB is enough for everything else.
	pageData = 8_000_000
)

// level is how much of each record a page shows. Small lost sets show everything that a person can read; large records in
// large numbers are shortened step by step until the page fits.
type level struct {
	// value is the most bytes of a value, fields the most fields of a record; same says that unchanged fields are shown.
	value, fields int
	same          bool
}

var levels = []level{{2000, 200, true}, {500, 100, true}, {160, 40, true}, {160, 40, false}, {60, 20, false}}

// shownRecords are the records that a page will carry. Records that leave something to decide go before others: where there
// are too many, those that ended as they began or expired make room.
type shownRecords struct {
	redact        Redactor
	open, settled []shownRecord
	// level is an index of levels; held is about how many bytes the records take.
	level, held int
}

// add takes a record, or leaves it out where the page is full.
func (s *shownRecords) add(r reconcile.Record) {
	isOpen := choices(r) != ""
	room := len(s.open)+len(s.settled) < pageRecords && (s.held < pageData || s.level < len(levels)-1)
	if !room && isOpen && len(s.settled) > 0 {
		s.dropLast()
		room = true
	}
	if !room {
		return
	}
	shown := newShownRecord(r, s.redact, levels[s.level])
	s.held += shown.size()
	if isOpen {
		s.open = append(s.open, shown)
	} else {
		s.settled = append(s.settled, shown)
	}
	for s.held > pageData && s.level < len(levels)-1 {
		s.tighten()
	}
}

// tighten brings all records down to the next level.
func (s *shownRecords) tighten() {
	s.level++
	s.held = 0
	for _, list := range [][]shownRecord{s.open, s.settled} {
		for i := range list {
			list[i].shorten(levels[s.level])
			s.held += list[i].size()
		}
	}
}

// dropLast leaves out the record that is missed least.
func (s *shownRecords) dropLast() {
	list := &s.settled
	if len(*list) == 0 {
		list = &s.open
	}
	last := len(*list) - 1
	s.held -= (*list)[last].size()
	(*list)[last] = shownRecord{}
	*list = (*list)[:last]
}

// inOrder gives all records in the order of the change set.
func (s *shownRecords) inOrder() []shownRecord {
	all := slices.Concat(s.open, s.settled)
	slices.SortStableFunc(all, func(a, b shownRecord) int { return int(a.record.Change.N - b.record.Change.N) })
	return all
}

// encode gives the page's data, shortening records until it fits.
func (s *shownRecords) encode(page Page) ([]byte, error) {
	for {
		data, err := encodeRecords(page, s.inOrder())
		switch {
		case err != nil:
			return nil, err
		case len(data) <= pageData:
			return data, nil
		case s.level < len(levels)-1:
			s.tighten()
			continue
		}
		// What is still too long at the last level gives up whole records, counted like those beyond the limit.
		for drop := (len(s.open)+len(s.settled))*(len(data)-pageData)/len(data) + 1; drop > 0 && len(s.open)+len(s.settled) > 0; drop-- {
			s.dropLast()
		}
	}
}

// pageContent is the data of a page. Records are lists by place, and texts stand once each, because one record is much like
// the next. page/data.js reads them.
type pageContent struct {
	Version int    `json:"v"`
	Job     string `json:"job"`
	// Set stands for the change set that the decisions belong to.
	Set    string   `json:"set"`
	Looked bool     `json:"looked"`
	Texts  []string `json:"texts"`
	Rows   []row    `json:"rows"`
}

type row []any

// texts numbers texts in the order in which they are met.
type texts struct {
	numbers map[string]int
	list    []string
}

func (t *texts) number(text string) int {
	n, known := t.numbers[text]
	if !known {
		n = len(t.list)
		t.numbers[text] = n
		t.list = append(t.list, text)
	}
	return n
}

func encodeRecords(page Page, records []shownRecord) ([]byte, error) {
	t := texts{numbers: map[string]int{}}
	content := pageContent{Version: 1, Job: page.Job, Set: page.Set, Looked: !page.Looked.IsZero(), Rows: []row{}}
	groups := groupsOf(page.Groups)
	for _, r := range records {
		r.groups = groups[r.record.Token]
		content.Rows = append(content.Rows, r.row(&t))
	}
	content.Texts = t.list
	// encoding/json escapes <, > and &, so no value can close the script element that carries it.
	data, err := json.Marshal(content)
	if err != nil {
		return nil, fmt.Errorf("write the records of the page: %w", err)
	}
	return data, nil
}

// groupsOf gives the numbers of the groups of each token; a record can share values in several indexes.
func groupsOf(groups []reconcile.Group) map[string][]int {
	of := map[string][]int{}
	for _, group := range groups {
		for _, token := range group.Records {
			of[token] = append(of[token], group.Number)
		}
	}
	return of
}

// row gives a record as a list: number, token, collection, key, class, state, choices, suggestion, reason, first and last
// entry with their ordinals, operations, bursts, groups, fields, left-out fields, left-out fields that are the same,
// and which versions there are.
func (r *shownRecord) row(t *texts) row {
	c := r.record.Change
	if len(r.groups) == 0 && r.record.Group > 0 {
		r.groups = []int{r.record.Group}
	}
	fields := make([]row, 0, len(r.fields))
	for _, f := range r.fields {
		fields = append(fields, f.row(t))
	}
	return row{
		c.N, r.record.Token, t.number(Printable(c.NS.String())), t.number(r.key), t.number(string(c.Class)), t.number(string(r.record.State)),
		t.number(choices(r.record)), t.number(string(r.record.Suggested)), t.number(shortened(r.record.Reason)),
		c.First.TS.Seconds(), c.First.TS.Ordinal(), c.Last.TS.Seconds(), c.Last.TS.Ordinal(), c.Ops,
		append([]int{}, c.Bursts...), append([]int{}, r.groups...), fields, r.more, r.same, r.there,
	}
}

// row gives a field as a list: path, kind, the values at T, at E and live, -1 where absent, and where one of them is cut
// the numbers of characters that are left out.
func (f shownField) row(t *texts) row {
	list := row{t.number(f.path), f.kind}
	cut := false
	for _, c := range []cell{f.t, f.e, f.live} {
		number := -1
		if c != (cell{}) {
			number = t.number(c.text)
		}
		cut = cut || c.cut > 0
		list = append(list, number)
	}
	if cut {
		list = append(list, f.t.cut, f.e.cut, f.live.cut)
	}
	return list
}

// choices says which decisions make sense for a record, a letter each: put back (p), put back and the gap wins (g), delete
// again (d). Leaving it alone (l) always does where there is one of them. Nothing can be decided about a record that is
// live as the gap left it, or has no version to put back.
func choices(r reconcile.Record) string {
	switch r.State {
	case reconcile.StateLost, reconcile.StateChangeLost:
		return "lp"
	case reconcile.StateChangedSince:
		switch r.Change.Class {
		case pitr.ClassCreated: // another record has its _id now, so that there is nothing to merge
			return "lg"
		case pitr.ClassChanged:
			return "lpg"
		}
	case reconcile.StateGoneSince:
		if r.Change.Class == pitr.ClassCreated || r.Change.Class == pitr.ClassChanged { // that somebody deleted it is a change of the other side
			return "lg"
		}
	case reconcile.StateDeleted:
		return "ld"
	case "":
		return openChoices(r.Change.Class)
	}
	return ""
}

// openChoices are those of a record that nobody has looked up: whether somebody has changed it since is open.
func openChoices(class pitr.Class) string {
	switch class {
	case pitr.ClassCreated:
		return "lp"
	case pitr.ClassChanged:
		return "lpg"
	case pitr.ClassDeleted:
		return "ld"
	}
	return ""
}
