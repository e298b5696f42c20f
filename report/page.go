package report

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/reconcile"
)

//go:embed page
var pageFiles embed.FS

// Parts of every page. The script is several files that share one scope, closed to everything else.
var (
	pageStyle    = template.CSS("\n" + pagePart("page.css")) //nolint:gosec // the program's own file
	pageScript   = "\"use strict\";\n(() => {\n" + pagePart("data.js") + pagePart("decide.js") + pagePart("list.js") + pagePart("main.js") + "})();\n"
	pagePolicy   = "default-src 'none'; script-src " + sourceHash(pageScript) + "; style-src " + sourceHash(string(pageStyle)) + "; base-uri 'none'; form-action 'none'"
	pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{"plain": shortened, "printable": Printable, "grouped": grouped}).Parse(pagePart("page.html")))
)

// pagePart reads a file that is part of the program.
func pagePart(name string) string {
	content, err := pageFiles.ReadFile("page/" + name)
	if err != nil {
		panic(err)
	}
	return string(content)
}

// sourceHash names an inline element in a content security policy, so that nothing else on the page can run.
func sourceHash(content string) string {
	sum := sha256.Sum256([]byte(content))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// Page is what the self-contained page shows besides the records.
type Page struct {
	Title, Lead string
	// Job names the job whose lost set it is, Set the content of its change set: decisions are remembered for that alone.
	Job, Set string
	// Looked is when the live database was looked at, zero when nobody has.
	Looked   time.Time
	Facts    []Fact
	Timeline []Event
	Groups   []reconcile.Group
	Footer   string
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

// classes is the order of the columns; what a person must look at comes first.
var classes = []pitr.Class{pitr.ClassCreated, pitr.ClassChanged, pitr.ClassDeleted, pitr.ClassCameAndWent,
	pitr.ClassUnchanged, pitr.ClassExpired}

type pageView struct {
	Page
	Policy                             string
	Style                              template.CSS
	Classes                            []string
	Decisions, States                  []reconcile.Word
	Counts                             []countRow
	Shown                              []groupView
	Records                            int
	MoreGroups, MoreEvents, MoreCounts int
	MoreRecords                        int64
	ImportCommand, DryRun, PlanCommand string
	ListCommand, LiveCommand           string
}

// groupView is a group of duplicates, told in texts.
type groupView struct {
	Number           int
	NS, Index, Value string
	Members          []memberView
	More             int
	Reason           string
}

type memberView struct {
	Token, Key string
	// Live says that the document is live now; Stays that it is the one suggested to stay.
	Live, Stays bool
}

type countRow struct {
	NS     string
	ByWord []int64
	All    int64
	// Missing counts those that the page leaves out.
	Missing int64
}

// WritePage writes one HTML file that needs nothing else: no network, no other file. It holds at most 10,000 records and
// 10 MB; what it cuts or leaves out is counted, and the page names the command that lists it.
func WritePage(to io.Writer, page Page, records iter.Seq2[reconcile.Record, error], redact Redactor) error {
	list := shownRecords{redact: redact}
	counts := counts{}
	members := newMembers(page.Groups, redact)
	for record, err := range records {
		if err != nil {
			return err
		}
		counts.add(record, page)
		members.add(record)
		list.add(record)
	}
	data, err := list.encode(page)
	if err != nil {
		return err
	}
	shown, words := list.inOrder(), counts.words(page)
	page.Facts = append(counts.facts(page), page.Facts...)
	view := pageView{Page: page, Decisions: reconcile.DecisionWords(), States: counts.states(page), Policy: pagePolicy, Style: pageStyle, Classes: words, Counts: counts.rows(words, shown), Records: len(shown)}
	for _, row := range view.Counts {
		view.MoreRecords += row.Missing
	}
	view.ListCommand, view.PlanCommand = "pitr report "+page.Job+" --json", "pitr reconcile plan "+page.Job
	view.LiveCommand = "pitr report " + page.Job + " --live --html FILE"
	view.ImportCommand, view.DryRun = "pitr reconcile import "+page.Job+" decisions-"+page.Job+".csv", "pitr reconcile apply "+page.Job+" --dry-run"
	view.Counts, view.MoreCounts = head(view.Counts, pageCollections)
	view.Timeline, view.MoreEvents = head(page.Timeline, pageEvents)
	groups, more := head(page.Groups, pageGroups)
	view.MoreGroups = more
	for _, group := range groups {
		view.Shown = append(view.Shown, members.view(group))
	}
	if err := pageTemplate.Execute(to, view); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	_, err = fmt.Fprintf(to, "<script type=\"application/json\" id=\"data\">%s</script>\n<script>%s</script>\n</body>\n</html>\n", data, pageScript)
	return err
}

// head gives the first n of a list and how many follow.
func head[T any](list []T, n int) (first []T, more int) {
	if len(list) <= n {
		return list, 0
	}
	return list[:n], len(list) - n
}

// members knows the keys of the records that stand in groups.
type members struct {
	redact Redactor
	keys   map[string]string
}

func newMembers(groups []reconcile.Group, redact Redactor) members {
	m := members{redact: redact, keys: map[string]string{}}
	for _, group := range groups {
		for _, token := range group.Records {
			m.keys[token] = ""
		}
	}
	return m
}

func (m members) add(r reconcile.Record) {
	if _, wanted := m.keys[r.Token]; wanted {
		m.keys[r.Token] = m.keyText(r.Change.NS, r.Change.Key)
	}
}

func (m members) keyText(ns pitr.Namespace, key pitr.Key) string {
	return newCell(m.redact.Document(ns, key.Filter()).Lookup("_id"), pageName).marked()
}

func (m members) view(group reconcile.Group) groupView {
	v := groupView{Number: group.Number, NS: Printable(group.NS.String()), Index: Printable(group.Index), Value: m.value(group), Reason: Printable(group.Reason)}
	for _, key := range group.Live {
		v.Members = append(v.Members, memberView{Key: m.keyText(group.NS, key), Live: true, Stays: group.SurvivorLive})
	}
	for _, token := range group.Records {
		v.Members = append(v.Members, memberView{Token: token, Key: m.keys[token], Stays: group.Survivor == token && token != ""})
	}
	// The one that should stay is never among those that are left out.
	slices.SortStableFunc(v.Members, func(a, b memberView) int { return rank(a) - rank(b) })
	v.Members, v.More = head(v.Members, pageMembers)
	return v
}

func rank(m memberView) int {
	if m.Stays {
		return 0
	}
	return 1
}

// value shows the shared value. It comes as Extended JSON, mostly a document of the index's fields; where it is something
// else its field is not known, and a collection with hidden fields hides it.
func (m members) value(group reconcile.Group) string {
	var document bson.Raw
	if bson.UnmarshalExtJSON([]byte(group.Value), false, &document) != nil {
		if m.redact.concerns(group.NS) {
			return Hidden
		}
		return shortened(group.Value)
	}
	elements, err := document.Elements()
	if err != nil {
		return Hidden
	}
	var parts []string
	for _, element := range elements {
		text := newCell(element.Value(), pageName).marked()
		if m.redact.Hides(group.NS, element.Key()) {
			text = Hidden
		}
		parts = append(parts, Printable(element.Key())+": "+text)
	}
	return strings.Join(parts, ", ")
}

// marked gives the text of a cell with what was cut in words, for places without a mark of their own.
func (c cell) marked() string {
	if c.cut > 0 {
		return fmt.Sprintf("%s … %d more characters", c.text, c.cut)
	}
	return c.text
}

// shortened gives a text from a database or repository, made plain and not too long.
func shortened(text string) string { return cell{text: Printable(text)}.shortened(pageName).marked() }

// counts are records by namespace, and by state where the live database was looked at, else by class.
type counts map[pitr.Namespace]map[string]int64

func (c counts) add(record reconcile.Record, page Page) {
	word := string(record.State)
	if page.Looked.IsZero() {
		word = string(record.Change.Class)
	}
	ns := record.Change.NS
	if c[ns] == nil {
		c[ns] = map[string]int64{}
	}
	c[ns][word]++
}

// words gives the classes or states that have records, in the order of the columns.
func (c counts) words(page Page) []string {
	var words []string
	if page.Looked.IsZero() {
		for _, class := range classes {
			words = append(words, string(class))
		}
	} else {
		for _, state := range reconcile.AllStates {
			words = append(words, string(state))
		}
	}
	return slices.DeleteFunc(words, func(word string) bool { return c.of(word) == 0 })
}

func (c counts) of(word string) int64 {
	var n int64
	for _, byWord := range c {
		n += byWord[word]
	}
	return n
}

// facts says first what is lost now, where somebody has looked.
func (c counts) facts(page Page) []Fact {
	if page.Looked.IsZero() {
		return nil
	}
	return []Fact{{Name: "Lost, and not there now", Value: grouped(c.of(string(reconcile.StateLost)))},
		{Name: "Came back by themselves", Value: grouped(c.of(string(reconcile.StateCameBack)) + c.of(string(reconcile.StateCameBackElsewhere)))}}
}

// states explains the states that the page shows.
func (c counts) states(page Page) []reconcile.Word {
	if page.Looked.IsZero() {
		return nil
	}
	return slices.DeleteFunc(reconcile.StateWords(), func(word reconcile.Word) bool { return c.of(word.Word) == 0 })
}

// rows gives the collections with the most records first.
func (c counts) rows(words []string, shown []shownRecord) []countRow {
	there := map[pitr.Namespace]int64{}
	for _, r := range shown {
		there[r.record.Change.NS]++
	}
	var rows []countRow
	for ns, byWord := range c {
		row := countRow{NS: Printable(ns.String()), Missing: -there[ns]}
		for _, word := range words {
			row.ByWord = append(row.ByWord, byWord[word])
		}
		for _, n := range byWord { // those without a column, too: nothing may be missing that is shown
			row.All += n
		}
		row.Missing += row.All
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b countRow) int {
		if a.All != b.All {
			return int(b.All - a.All)
		}
		return strings.Compare(a.NS, b.NS)
	})
	return rows
}

// grouped writes a number with separators, 12,345.
func grouped(n int64) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
