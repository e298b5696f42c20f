package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/diff"
	"pitr/reconcile"
	"pitr/report"
	"pitr/sheet"
)

// reviewSource is what a review file shows. The records are asked for twice: once for the columns, once for the rows.
type reviewSource struct {
	records iter.Seq2[reconcile.Record, error]
	groups  []reconcile.Group
	// replace says that a file of that name may be replaced.
	replace bool
}

// reviewWritten is the JSON line of a review file.
type reviewWritten struct {
	Type    string `json:"type"`
	Version int    `json:"v"`
	File    string `json:"file"`
	Records int64  `json:"records"`
	// Suggested counts the decisions that the file is filled with.
	Suggested map[reconcile.Decision]int64 `json:"suggested"`
	sheet.Notes
}

// The columns of every review file: those that people decide by stand before the fields of the records, so that both are on
// one screen, the rest behind them.
var (
	reviewColumns = []sheet.Column{
		{Name: "token", Width: 19}, {Name: "decision", Width: 18}, {Name: "state", Width: 26}, {Name: "collection", Width: 24}, {Name: "key", Width: 38},
		{Name: "reason", Width: 40, Lines: true}, {Name: "duplicates", Width: 11}, {Name: "differences", Width: 44, Lines: true},
	}
	reviewColumnsBehind = []sheet.Column{
		{Name: "survivor", Width: 44}, {Name: "what happened", Width: 44}, {Name: "first in the gap", Width: 23}, {Name: "last in the gap", Width: 23},
	}
)

// writeReview writes the file that people decide in, as CSV or Excel by its name: whole, or not at all. Hidden fields are
// hidden before anything reaches the file.
func (run *session) writeReview(file string, from reviewSource) (reviewWritten, error) {
	const op = "write the review file"
	done := reviewWritten{Type: "review file", Version: 1, File: file, Suggested: map[reconcile.Decision]int64{}}
	redactor, err := report.NewRedactor(run.settings.redact())
	if err != nil {
		return done, err
	}
	ending := strings.ToLower(filepath.Ext(file))
	if ending != ".csv" && ending != ".xlsx" {
		return done, pitr.Errorf(pitr.KindInvalid, op, "end its name with .csv or .xlsx", "%q is neither a CSV nor an Excel file", file)
	}
	if _, err := os.Lstat(file); err == nil && !from.replace {
		return done, pitr.Refusef(op, "choose another name, or give --force", "%s exists", file)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return done, pitr.Errorf(pitr.KindInvalid, op, "check the path", "%w", err)
	}
	r := &reviewer{redactor: redactor, groups: map[int]reconcile.Group{}}
	for _, group := range from.groups {
		r.groups[group.Number] = group
	}
	if err := r.chooseFields(from.records); err != nil {
		return done, err
	}
	err = createWhole(file, func(out io.Writer) error {
		table, err := r.newTable(out, ending)
		if err != nil {
			return err
		}
		for record, err := range from.records {
			if err == nil {
				err = table.Row(r.row(record))
			}
			if err != nil {
				return err
			}
			done.Records++
			done.Suggested[record.Suggested]++
		}
		err = table.Close()
		done.Notes = table.Notes()
		return err
	})
	return done, err
}

// createWhole makes a file appear whole or not at all, readable by its owner only.
func createWhole(name string, write func(io.Writer) error) error {
	const op = "write the file"
	temporary, err := os.CreateTemp(filepath.Dir(name), ".pitr-*")
	if err != nil {
		return pitr.Errorf(pitr.KindInvalid, op, "check the folder", "%w", err)
	}
	defer os.Remove(temporary.Name()) //nolint:errcheck // it is gone after the rename
	out := bufio.NewWriterSize(temporary, 256<<10)
	err = write(out)
	if err == nil {
		err = out.Flush()
	}
	if err == nil {
		err = temporary.Sync()
	}
	if closeErr := temporary.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(temporary.Name(), name)
	}
	if err != nil && pitr.KindOf(err) == pitr.KindUnexpected {
		err = pitr.Errorf(pitr.KindLimit, op, "check the folder and its free space", "%w", err)
	}
	return err
}

// reviewer makes the rows.
type reviewer struct {
	redactor report.Redactor
	groups   map[int]reconcile.Group
	fields   []string
	places   map[string]int
	// widths are those of the fields' columns, by the first values.
	widths map[string]float64
}

// How many fields have a column: of each collection the most frequent, and in all.
const (
	maxFieldsOfCollection = 14
	maxReviewFields       = 80
	maxFieldsCounted      = 2000
	// maxFieldsMeasured is how many values of a field say how wide its column is.
	maxFieldsMeasured = 50
)

// widthFor is the width at which a value can be read, within reason: an id whole, a key not.
func widthFor(name string, value bson.RawValue) float64 {
	return min(max(12, float64(utf8.RuneCountInString(name))+2, float64(utf8.RuneCountInString(sheet.CellOf(value).Text))+1), 38)
}

// chooseFields reads the records once and takes the fields that most of a collection's records have.
func (r *reviewer) chooseFields(records iter.Seq2[reconcile.Record, error]) error {
	counts := map[pitr.Namespace]map[string]int{}
	var order []string
	met := map[string]bool{}
	r.widths = map[string]float64{}
	for record, err := range records {
		if err != nil {
			return err
		}
		ns := record.Change.NS
		if counts[ns] == nil {
			counts[ns] = map[string]int{}
		}
		for name, value := range flatFields(r.shown(record)) {
			if len(counts[ns]) < maxFieldsCounted || counts[ns][name] > 0 {
				if counts[ns][name] < maxFieldsMeasured {
					r.widths[name] = max(r.widths[name], widthFor(name, value))
				}
				counts[ns][name]++
			}
			if !met[name] && len(met) < maxFieldsCounted {
				met[name] = true
				order = append(order, name)
			}
		}
	}
	chosen := map[string]bool{}
	for _, of := range counts {
		names := make([]string, 0, len(of))
		for name := range of {
			names = append(names, name)
		}
		slices.SortFunc(names, func(a, b string) int { return cmp.Or(of[b]-of[a], strings.Compare(a, b)) })
		for _, name := range names[:min(len(names), maxFieldsOfCollection)] {
			chosen[name] = true
		}
	}
	r.places = map[string]int{}
	for _, name := range order {
		if chosen[name] && len(r.fields) < maxReviewFields {
			r.places[name] = len(reviewColumns) + len(r.fields)
			r.fields = append(r.fields, name)
		}
	}
	return nil
}

// newTable begins the file with the columns: ours, then one for each field.
func (r *reviewer) newTable(out io.Writer, ending string) (sheet.Table, error) {
	columns := slices.Clone(reviewColumns)
	for _, decision := range reconcile.AllDecisions {
		columns[1].Choices = append(columns[1].Choices, string(decision))
	}
	for _, name := range r.fields {
		columns = append(columns, sheet.Column{Name: name, Width: r.widths[name]})
	}
	columns = append(columns, reviewColumnsBehind...)
	if ending == ".csv" {
		return sheet.NewCSV(out, columns, sheet.CSVOptions{BOM: true})
	}
	var words []sheet.Word
	for _, word := range reconcile.Words() {
		words = append(words, sheet.Word(word))
	}
	return sheet.NewExcel(out, columns, sheet.ExcelOptions{Words: words, Frozen: 2})
}

// shown is the version of a record that stands for it: what the gap left, else what was there before, else what is live.
func (r *reviewer) shown(record reconcile.Record) bson.Raw {
	change := record.Change
	for _, version := range []bson.Raw{change.E, change.T, record.Live} {
		if version != nil {
			return r.redactor.Document(change.NS, version)
		}
	}
	return nil
}

func (r *reviewer) row(record reconcile.Record) []sheet.Cell {
	change := record.Change
	key := r.redactor.Document(change.NS, change.Key.Filter()).Lookup("_id")
	cells := make([]sheet.Cell, len(reviewColumns)+len(r.fields)+len(reviewColumnsBehind))
	duplicates, survivor := r.duplicates(record)
	copy(cells, []sheet.Cell{sheet.TextCell(record.Token), sheet.TextCell(string(record.Suggested)), sheet.TextCell(string(record.State)),
		sheet.TextCell(change.NS.String()), sheet.CellOf(key), sheet.TextCell(record.Reason), duplicates, sheet.TextCell(r.differences(record))})
	copy(cells[len(reviewColumns)+len(r.fields):], []sheet.Cell{survivor, sheet.TextCell(record.What()), momentCell(change.First), momentCell(change.Last)})
	for name, value := range flatFields(r.shown(record)) {
		if at, has := r.places[name]; has && cells[at].Kind == sheet.Empty {
			cells[at] = shortCell(value)
		}
	}
	return cells
}

func momentCell(at pitr.OpTime) sheet.Cell {
	if at.TS == 0 {
		return sheet.Cell{}
	}
	return sheet.TimeCell(at.TS.Time())
}

// duplicates says which group a record belongs to, and which of the group should stay. The value that they share is not
// told here: it may be one that must not be shown.
func (r *reviewer) duplicates(record reconcile.Record) (group, survivor sheet.Cell) {
	if record.Group == 0 {
		return sheet.Cell{}, sheet.Cell{}
	}
	of := r.groups[record.Group]
	text := "another of the group should stay"
	switch {
	case of.SurvivorLive:
		text = "the live one should stay"
		if len(of.Live) > 0 {
			id := r.redactor.Document(of.NS, of.Live[0].Filter()).Lookup("_id")
			text += ", " + shortText(sheet.CellOf(id).Text)
		}
	case of.Survivor == record.Token:
		text = "this one should stay"
	case of.Survivor == "":
		text = ""
	}
	return sheet.IntCell(int64(record.Group)), sheet.TextCell(text)
}

// The lengths at which text in a cell that is only for reading is cut.
const (
	maxShownValue       = 200
	maxShownDifferences = 12
)

// differences lists what each side has in the fields in which the versions differ, a line for each.
func (r *reviewer) differences(record reconcile.Record) string {
	ns, change := record.Change.NS, record.Change
	var lines []string
	add := func(path string, values ...bson.RawValue) {
		names := []string{"before", "in the gap", "live now"}
		var sides []string
		for i, value := range values {
			text := shortText(sheet.CellOf(value).Text)
			if value.Type == 0 {
				text = "(absent)"
			} else if text == "" {
				text = "(empty)"
			}
			sides = append(sides, names[i]+": "+text)
		}
		lines = append(lines, path+" — "+strings.Join(sides, "; "))
	}
	switch {
	case len(record.Merge) > 0:
		for _, field := range record.Merge {
			path := field.Path.String()
			if field.Conflict {
				path += " (both sides, in different ways)"
			}
			if r.hidden(ns, field.Path) {
				lines = append(lines, path+" — "+report.Hidden)
				continue
			}
			add(path, field.T, field.E, field.Live)
		}
	case change.E != nil && change.T != nil:
		e, t := r.redactor.Pair(ns, change.E, change.T)
		for _, field := range diff.Fields(e, t) {
			if field.Kind != diff.FieldMoved {
				add(field.Path.String(), field.T, field.E)
			}
		}
	}
	if len(lines) > maxShownDifferences {
		lines = append(lines[:maxShownDifferences], fmt.Sprintf("… and %d more", len(lines)-maxShownDifferences))
	}
	return strings.Join(lines, "\n")
}

// hidden reports whether a rule hides a field, a part of it, or something that it is a part of. Rules do not name places in
// lists, so those are left out of the path.
func (r *reviewer) hidden(ns pitr.Namespace, path diff.Path) bool {
	named := slices.DeleteFunc(slices.Clone(path), func(name string) bool { return name != "" && strings.Trim(name, "0123456789") == "" })
	return r.redactor.Hides(ns, strings.Join(path, ".")) || r.redactor.Hides(ns, strings.Join(named, "."))
}

// flatFields yields the fields of a document but its _id, those of an embedded document under its name.
func flatFields(document bson.Raw) iter.Seq2[string, bson.RawValue] {
	return func(yield func(string, bson.RawValue) bool) {
		elements, err := document.Elements()
		if err != nil {
			return
		}
		for _, element := range elements {
			name, value := element.Key(), element.Value()
			inner, isDocument := value.DocumentOK()
			innerElements, err := inner.Elements()
			switch {
			case name == "_id":
			case isDocument && err == nil && len(innerElements) > 0 && len(innerElements) <= maxFieldsOfCollection:
				for _, element := range innerElements {
					if !yield(name+"."+element.Key(), element.Value()) {
						return
					}
				}
			default:
				if !yield(name, value) {
					return
				}
			}
		}
	}
}

// shortCell cuts text that is only for reading.
func shortCell(value bson.RawValue) sheet.Cell {
	cell := sheet.CellOf(value)
	if cell.Kind == sheet.Text {
		cell.Text = shortText(cell.Text)
	}
	return cell
}

func shortText(text string) string {
	runes := []rune(text)
	if len(runes) <= maxShownValue {
		return text
	}
	return string(runes[:maxShownValue]) + " … (cut)"
}
