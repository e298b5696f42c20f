package sheet

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"iter"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

// Format is the form of an export.
type Format string

// The formats.
const (
	FormatNDJSON Format = "ndjson"
	FormatCSV    Format = "csv"
	FormatExcel  Format = "xlsx"
	FormatDump   Format = "dump"
)

// Formats lists them, for messages.
var Formats = []Format{FormatNDJSON, FormatCSV, FormatExcel, FormatDump}

// ParseFormat reads the name of a format.
func ParseFormat(text string) (Format, error) {
	const op = "read the format"
	switch format := Format(text); format {
	case FormatNDJSON, FormatCSV, FormatExcel, FormatDump:
		return format, nil
	case "parquet":
		return "", pitr.Errorf(pitr.KindUnsupported, op, "choose --format ndjson: DuckDB, Spark and pandas read it and write Parquet", "Parquet is not written yet")
	}
	return "", pitr.Errorf(pitr.KindInvalid, op, "write ndjson, csv, xlsx or dump", "%q is no format of an export", text)
}

// Source is what is exported: a snapshot, a view, one side of a lost set. Documents may be asked for twice.
type Source interface {
	Collections(ctx context.Context) ([]pitr.Collection, error)
	Documents(ctx context.Context, c pitr.Collection) iter.Seq2[bson.Raw, error]
}

// Options say how to export.
type Options struct {
	Format Format
	// What and Pitr stand in the list of the files: what it is that was exported, and who wrote it.
	What, Pitr string
	Now        time.Time
	Scope      pitr.Scope
	// Hide gives a document without what must not be shown; nil hides nothing.
	Hide     func(pitr.Namespace, bson.Raw) bson.Raw
	CSV      CSVOptions
	Progress pitr.Progress
}

// Exported is a collection in its file.
type Exported struct {
	Written
	NS        pitr.Namespace `json:"ns"`
	Documents int64          `json:"documents"`
	Notes     Notes          `json:"notes,omitzero"`
}

// LeftOut is a collection that this format cannot hold.
type LeftOut struct {
	NS     pitr.Namespace `json:"ns"`
	Reason string         `json:"reason"`
}

// Listing is export.json, the list of an export's files: what has one is whole.
type Listing struct {
	What     string     `json:"what"`
	Format   Format     `json:"format"`
	Created  time.Time  `json:"created"`
	Pitr     string     `json:"pitr"`
	Redacted bool       `json:"redacted"`
	Files    []Exported `json:"files"`
	LeftOut  []LeftOut  `json:"leftOut,omitempty"`
}

// ListingName is the name of the list in the folder.
const ListingName = "export.json"

// Export writes the collections of a source into the folder, and the list of the files last.
func Export(ctx context.Context, folder *Folder, source Source, o Options) (Listing, error) {
	listing := Listing{What: o.What, Format: o.Format, Created: o.Now.UTC(), Pitr: o.Pitr, Redacted: o.Hide != nil, Files: []Exported{}}
	if o.Progress == nil {
		o.Progress = pitr.Silent
	}
	collections, err := source.Collections(ctx)
	if err != nil {
		return listing, err
	}
	e := &exporter{folder: folder, source: source, Options: o, listing: &listing}
	for _, c := range collections {
		if !o.Scope.Contains(c.NS.KnownAs()) {
			continue
		}
		if err := e.collection(ctx, c); err != nil {
			return listing, err
		}
	}
	return listing, e.list()
}

// exporter is one export.
type exporter struct {
	folder *Folder
	source Source
	Options
	listing *Listing
}

// place is where the files of a collection lie, without their ends.
type place struct{ folder, base string }

func (e *exporter) place(ns pitr.Namespace) (place, error) {
	p := place{folder: fileName(ns.DB), base: fileName(ns.Collection)}
	var err error
	if e.Format == FormatDump {
		p.folder, err = databaseFolder(ns.DB)
	}
	return p, err
}

func (e *exporter) leaveOut(c pitr.Collection, reason string) {
	e.listing.LeftOut = append(e.listing.LeftOut, LeftOut{NS: c.NS, Reason: reason})
}

func (e *exporter) collection(ctx context.Context, c pitr.Collection) error {
	at, err := e.place(c.NS)
	if err != nil {
		return err
	}
	if e.Format == FormatDump {
		return e.dump(ctx, c, at)
	}
	switch {
	case c.Type == pitr.TypeView:
		return nil // it has no documents of its own; what it shows is exported where it lies
	case c.Type == pitr.TypeTimeseries:
		return nil // its buckets are spoken of
	case isBuckets(c):
		e.leaveOut(c, "a time series lies there in the server's own buckets: choose --format dump, and mongorestore gives it back")
		return nil
	}
	file, err := e.folder.Create(at.folder, at.base+"."+string(e.Format))
	if err != nil {
		return err
	}
	exported := Exported{NS: c.NS}
	if e.Format == FormatNDJSON {
		err = e.lines(ctx, c, file, &exported)
	} else {
		err = e.table(ctx, c, file, &exported)
	}
	if err != nil {
		return err
	}
	return e.commit(file, exported)
}

func (e *exporter) commit(file *File, exported Exported) error {
	var err error
	if exported.Written, err = file.Commit(); err != nil {
		return err
	}
	e.listing.Files = append(e.listing.Files, exported)
	return nil
}

// documents gives the documents of a collection as they may be shown.
func (e *exporter) documents(ctx context.Context, c pitr.Collection) iter.Seq2[bson.Raw, error] {
	return func(yield func(bson.Raw, error) bool) {
		part := c.NS.String()
		e.Progress.Start(part, pitr.Amount{})
		defer e.Progress.Finish(part)
		var done pitr.Amount
		for document, err := range e.source.Documents(ctx, c) {
			if err == nil && ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if e.Hide != nil {
				document = e.Hide(c.NS.KnownAs(), document)
			}
			if !yield(document, nil) {
				return
			}
			done = pitr.Amount{Count: done.Count + 1, Bytes: done.Bytes + int64(len(document))}
			if done.Count == 1000 {
				e.Progress.Advance(part, done)
				done = pitr.Amount{}
			}
		}
	}
}

func (e *exporter) lines(ctx context.Context, c pitr.Collection, out io.Writer, exported *Exported) error {
	lines := NewNDJSON(out)
	for document, err := range e.documents(ctx, c) {
		if err != nil {
			return err
		}
		if err := lines.Document(document); err != nil {
			return err
		}
		exported.Documents++
	}
	exported.Notes = lines.Notes()
	return lines.Close()
}

// maxColumns is how many fields a table of documents may have.
const maxColumns = MaxExcelColumns

// table writes documents as rows. It reads them twice: once for the fields, which are the columns in the order in which they
// are met, once for the rows.
func (e *exporter) table(ctx context.Context, c pitr.Collection, out io.Writer, exported *Exported) error {
	columns := []Column{{Name: "_id", Width: 28}}
	places := map[string]int{"_id": 0}
	for document, err := range e.documents(ctx, c) {
		if err != nil {
			return err
		}
		elements, err := document.Elements()
		if err != nil {
			return pitr.Corruptf("export "+c.NS.String(), "%w", err)
		}
		for _, element := range elements {
			if _, known := places[element.Key()]; known {
				continue
			}
			places[element.Key()] = len(columns)
			columns = append(columns, Column{Name: element.Key()})
		}
		if len(columns) > maxColumns {
			return pitr.Errorf(pitr.KindLimit, "export "+c.NS.String(), "choose --format ndjson, or leave it out with --except",
				"its documents have more than %d fields in all", maxColumns)
		}
	}
	table, err := e.newTable(out, columns)
	if err != nil {
		return err
	}
	for document, err := range e.documents(ctx, c) {
		if err == nil {
			err = table.Row(cellsOf(document, places))
		}
		if err != nil {
			return err
		}
		exported.Documents++
	}
	err = table.Close()
	exported.Notes = table.Notes()
	return err
}

func (e *exporter) newTable(out io.Writer, columns []Column) (Table, error) {
	if e.Format == FormatExcel {
		return NewExcel(out, columns, ExcelOptions{})
	}
	return NewCSV(out, columns, e.CSV)
}

// cellsOf puts the fields of a document into their columns. Of fields of one name the first counts, as for the server.
func cellsOf(document bson.Raw, places map[string]int) []Cell {
	cells := make([]Cell, len(places))
	elements, err := document.Elements()
	if err != nil {
		return cells // the first reading has told
	}
	for i := len(elements) - 1; i >= 0; i-- {
		if at, known := places[elements[i].Key()]; known {
			cells[at] = CellOf(elements[i].Value())
		}
	}
	return cells
}

// dump writes a collection as mongodump does. The buckets of a time series have no options of their own, a view and a time
// series no documents.
func (e *exporter) dump(ctx context.Context, c pitr.Collection, at place) error {
	if isBuckets(c) && e.Hide != nil {
		e.leaveOut(c, "the fields of a time series cannot be hidden in its buckets: leave --redact away to dump it whole")
		return nil
	}
	if !isBuckets(c) {
		content, err := metadata(c)
		if err != nil {
			return err
		}
		file, err := e.folder.Create(at.folder, at.base+".metadata.json")
		if err != nil {
			return err
		}
		if _, err := file.Write(content); err != nil {
			return err
		}
		if err := e.commit(file, Exported{NS: c.NS}); err != nil {
			return err
		}
	}
	if !hasDocuments(c) {
		return nil
	}
	file, err := e.folder.Create(at.folder, at.base+".bson")
	if err != nil {
		return err
	}
	exported := Exported{NS: c.NS}
	out := bufio.NewWriter(file)
	for document, err := range e.documents(ctx, c) {
		if err != nil {
			return err
		}
		if _, err := out.Write(document); err != nil {
			return err
		}
		exported.Documents++
	}
	if err := out.Flush(); err != nil {
		return err
	}
	return e.commit(file, exported)
}

// list writes export.json.
func (e *exporter) list() error {
	file, err := e.folder.Create("", ListingName)
	if err != nil {
		return err
	}
	encoder := json.NewEncoder(file)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(e.listing); err != nil {
		return err
	}
	_, err = file.Commit()
	return err
}
