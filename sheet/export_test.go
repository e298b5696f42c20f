package sheet_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"iter"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/sheet"
)

// shelf is a source in memory.
type shelf struct {
	collections []pitr.Collection
	documents   map[pitr.Namespace][]bson.Raw
	fails       error
}

func (s shelf) Collections(context.Context) ([]pitr.Collection, error) { return s.collections, nil }

func (s shelf) Documents(_ context.Context, c pitr.Collection) iter.Seq2[bson.Raw, error] {
	return func(yield func(bson.Raw, error) bool) {
		for _, document := range s.documents[c.NS] {
			if !yield(document, nil) {
				return
			}
		}
		if s.fails != nil {
			yield(nil, s.fails)
		}
	}
}

func raw(t testing.TB, document any) bson.Raw {
	t.Helper()
	content, err := bson.Marshal(document)
	must(t, err)
	return content
}

// hostile are names that mean something to a system. // case X07
var hostile = []string{"..", ".", "../../etc/passwd", "/etc/passwd", `C:\x`, "a\x00b", "a\nb", strings.Repeat("é", 2000), "CON", "con.txt", "LPT1", "nul", "a b",
	"ends.", "a/b", "%2e%2e", "café", "cafe\u0301", ".hidden", "x$y", strings.Repeat("n", 230)}

func hostileShelf(t testing.TB) shelf {
	s := shelf{documents: map[pitr.Namespace][]bson.Raw{}}
	for i, name := range hostile {
		ns := pitr.Namespace{DB: "shop", Collection: name}
		s.collections = append(s.collections, pitr.Collection{NS: ns, Type: pitr.TypeCollection})
		s.documents[ns] = []bson.Raw{raw(t, bson.D{{Key: "_id", Value: i}})}
	}
	return s
}

func export(t *testing.T, source sheet.Source, o sheet.Options) (string, sheet.Listing, error) {
	t.Helper()
	if o.Now.IsZero() {
		o.Now = time.Unix(1761120000, 0)
	}
	folder := filepath.Join(t.TempDir(), "out")
	to, err := sheet.CreateFolder(folder)
	must(t, err)
	listing, err := sheet.Export(t.Context(), to, source, o)
	if err != nil {
		to.Discard()
		return folder, listing, err
	}
	return folder, listing, to.Close()
}

// filesBelow lists what lies below a folder.
func filesBelow(t *testing.T, folder string) (files []string) {
	t.Helper()
	must(t, filepath.WalkDir(folder, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		relative, err := filepath.Rel(folder, name)
		files = append(files, filepath.ToSlash(relative))
		return err
	}))
	return files
}

// TestHostileNamesStayInTheFolder: no name of a collection leads out of the folder, is a device, or is lost. // case X07
func TestHostileNamesStayInTheFolder(t *testing.T) {
	for _, format := range []sheet.Format{sheet.FormatNDJSON, sheet.FormatDump} {
		folder, listing, err := export(t, hostileShelf(t), sheet.Options{Format: format})
		must(t, err)
		count := 0
		for _, name := range filesBelow(t, folder) {
			if name == sheet.ListingName {
				continue
			}
			count++
			base := filepath.Base(name)
			if strings.ContainsFunc(base, func(r rune) bool { return r < '!' || r > '~' || strings.ContainsRune(`<>:"/\|?*`, r) }) || len(base) > 255 || base[0] == '.' {
				t.Errorf("a file is called %q", name)
			}
			first, _, _ := strings.Cut(strings.ToUpper(base), ".")
			if slices.Contains([]string{"CON", "NUL", "LPT1"}, first) {
				t.Errorf("%q is a device", name)
			}
		}
		want := len(hostile)
		if format == sheet.FormatDump {
			want *= 2
		}
		if count != want || len(listing.Files) != want {
			t.Errorf("%s: %d files, %d listed, want %d", format, count, len(listing.Files), want)
		}
		if left := filesBelow(t, filepath.Dir(folder)); len(left) != count+1 {
			t.Errorf("files outside: %v", left)
		}
	}
	// mongorestore finds the name again by taking the percent signs away.
	for _, file := range filesBelow(t, func() string {
		folder, _, _ := export(t, hostileShelf(t), sheet.Options{Format: sheet.FormatDump})
		return folder
	}()) {
		base, isData := strings.CutSuffix(filepath.Base(file), ".bson")
		if name, err := url.QueryUnescape(base); isData && len(base) < 238 && (err != nil || !slices.Contains(hostile, name)) {
			t.Errorf("%q is read as %q, %v", base, name, err)
		}
	}
	for _, db := range []string{"..", "a/b", "", "a.b", "a\x00", "a\n", strings.Repeat("d", 64), "%2e"} {
		ns := pitr.Namespace{DB: db, Collection: "c"}
		_, _, err := export(t, shelf{collections: []pitr.Collection{{NS: ns}}}, sheet.Options{Format: sheet.FormatDump})
		if pitr.KindOf(err) != pitr.KindUnsupported {
			t.Errorf("a dump of the database %q gives %v", db, err)
		}
	}
}

// TestTheFolderMustBeOurs: links, files and folders that hold something are refused, and nothing is written through them. // case X08
func TestTheFolderMustBeOurs(t *testing.T) {
	base := t.TempDir()
	outside := filepath.Join(base, "outside")
	must(t, os.Mkdir(outside, 0o700))
	link, file, fifo, full := filepath.Join(base, "link"), filepath.Join(base, "file"), filepath.Join(base, "fifo"), filepath.Join(base, "full")
	must(t, os.Symlink(outside, link))
	must(t, os.WriteFile(file, nil, 0o600))
	must(t, syscall.Mkfifo(fifo, 0o600))
	must(t, os.Mkdir(full, 0o700))
	must(t, os.Symlink(outside, filepath.Join(full, "shop")))
	for _, name := range []string{link, file, fifo, full} {
		if _, err := sheet.CreateFolder(name); pitr.KindOf(err) != pitr.KindRefused {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := sheet.CreateFolder(filepath.Join(base, "no", "such")); pitr.KindOf(err) != pitr.KindInvalid {
		t.Errorf("a folder in one that is not there: %v", err)
	}
	// What is planted after the folder was opened is not followed either, and not replaced.
	for _, plant := range []func(folder string) error{
		func(folder string) error { return os.Symlink(outside, filepath.Join(folder, "shop")) },
		func(folder string) error {
			return errors.Join(os.Mkdir(filepath.Join(folder, "shop"), 0o700), os.Symlink(filepath.Join(outside, "x"), filepath.Join(folder, "shop", "c.ndjson")))
		},
	} {
		folder := filepath.Join(t.TempDir(), "out")
		to, err := sheet.CreateFolder(folder)
		must(t, err)
		must(t, plant(folder))
		source := shelf{collections: []pitr.Collection{{NS: pitr.Namespace{DB: "shop", Collection: "c"}}}}
		if _, err := sheet.Export(t.Context(), to, source, sheet.Options{Format: sheet.FormatNDJSON}); err == nil {
			t.Error("a planted link was taken")
		}
		to.Discard()
	}
	if left := filesBelow(t, outside); len(left) > 0 {
		t.Errorf("written outside: %v", left)
	}
}

// TestNoFileTakesThePlaceOfAnother: two names that a file system takes for one are told, and the first file stays.
func TestNoFileTakesThePlaceOfAnother(t *testing.T) {
	to, err := sheet.CreateFolder(filepath.Join(t.TempDir(), "out"))
	must(t, err)
	for i, want := range []pitr.Kind{pitr.KindUnexpected, pitr.KindConflict} {
		file, err := to.Create("shop", "orders.csv")
		must(t, err)
		_, err = file.Write([]byte{byte(i)})
		must(t, err)
		if _, err := file.Commit(); pitr.KindOf(err) != want {
			t.Errorf("the file of number %d: %v", i, err)
		}
	}
	must(t, to.Close())
}

// TestAFailedExportLeavesNothing: neither a file under its name nor one under a temporary name, nor the folder.
func TestAFailedExportLeavesNothing(t *testing.T) {
	source := hostileShelf(t)
	source.fails = errors.New("the disk is gone")
	for _, format := range sheet.Formats {
		folder, _, err := export(t, source, sheet.Options{Format: format})
		if err == nil {
			t.Fatal("the export ends well")
		}
		if _, err := os.Lstat(folder); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: left behind: %v", format, filesBelow(t, folder))
		}
	}
}

// TestNDJSONSaysWhatItCannotTell: documents whose text reads back to other bytes are counted; those without one stand there
// whole.
func TestNDJSONSaysWhatItCannotTell(t *testing.T) {
	var out bytes.Buffer
	lines := sheet.NewNDJSON(&out)
	plain := raw(t, bson.D{{Key: "_id", Value: int64(1)}, {Key: "x", Value: 1.0}, {Key: "d", Value: bson.DateTime(5)}})
	alike := raw(t, bson.D{{Key: "_id", Value: 2}, {Key: "x", Value: bson.D{{Key: "$oid", Value: "5f2b5cb21f4e4a568a0d6b6f"}}}})
	broken := raw(t, bson.D{{Key: "_id", Value: 3}, {Key: "x", Value: bson.D{{Key: "$oid", Value: "no id"}}}})
	for _, document := range []bson.Raw{plain, alike, broken} {
		must(t, lines.Document(document))
	}
	must(t, lines.Close())
	if notes := lines.Notes(); notes.Inexact != 1 || notes.Raw != 1 {
		t.Errorf("%+v", notes)
	}
	rows := strings.Split(out.String(), "\n")
	var back bson.Raw
	if err := bson.UnmarshalExtJSON([]byte(rows[0]), true, &back); err != nil || !bytes.Equal(back, plain) {
		t.Errorf("%s reads back as %v, %v", rows[0], back, err)
	}
	var whole struct {
		Raw []byte `json:"$raw"`
	}
	if err := json.Unmarshal([]byte(rows[2]), &whole); err != nil || !bytes.Equal(whole.Raw, broken) {
		t.Errorf("%s does not hold the document: %v", rows[2], err)
	}
}

// TestTablesHaveEveryField: columns are the union of all fields, rows and types are those of the documents. // case F13
func TestTablesHaveEveryField(t *testing.T) {
	ns := pitr.Namespace{DB: "shop", Collection: "orders"}
	oid := bson.NewObjectID()
	source := shelf{collections: []pitr.Collection{{NS: ns}, {NS: pitr.Namespace{DB: "shop", Collection: "seen"}, Type: pitr.TypeView},
		{NS: pitr.Namespace{DB: "shop", Collection: "system.buckets.weather"}, Type: pitr.TypeCollection}},
		documents: map[pitr.Namespace][]bson.Raw{ns: {
			raw(t, bson.D{{Key: "_id", Value: oid}, {Key: "n", Value: int64(1) << 60}, {Key: "zip", Value: "00123"}}),
			raw(t, bson.D{{Key: "late", Value: bson.DateTime(1761120000123)}, {Key: "_id", Value: 2}, {Key: "n", Value: 5}, {Key: "in", Value: bson.D{{Key: "a", Value: bson.A{1}}}}}),
		}}}
	folder, listing, err := export(t, source, sheet.Options{Format: sheet.FormatCSV})
	must(t, err)
	content, err := os.ReadFile(filepath.Join(folder, "shop", "orders.csv"))
	must(t, err)
	want := "_id,n,zip,late,in\r\n" + oid.Hex() + ",1152921504606846976,00123,,\r\n2,5,,2025-10-22T08:00:00.123Z,\"{\"\"a\"\":[1]}\"\r\n"
	if string(content) != want {
		t.Errorf("%q\nwant\n%q", content, want)
	}
	if len(listing.LeftOut) != 1 || listing.LeftOut[0].NS.Collection != "system.buckets.weather" {
		t.Errorf("left out: %+v", listing.LeftOut)
	}
	folder, _, err = export(t, source, sheet.Options{Format: sheet.FormatExcel})
	must(t, err)
	content, err = os.ReadFile(filepath.Join(folder, "shop", "orders.xlsx"))
	must(t, err)
	rows, err := readAll(content)
	if err != nil || len(rows) != 3 || rows[1][1] != "1152921504606846976" || rows[1][2] != "00123" || rows[2][1] != "5" {
		t.Errorf("%q, %v", rows, err)
	}
}

// TestLongTextIsCutWithAMark: nothing is cut in silence.
func TestLongTextIsCutWithAMark(t *testing.T) {
	var out bytes.Buffer
	table, err := sheet.NewExcel(&out, []sheet.Column{{Name: "x"}}, sheet.ExcelOptions{})
	must(t, err)
	must(t, table.Row([]sheet.Cell{sheet.TextCell(strings.Repeat("𝄞", 20000))}))
	must(t, table.Row([]sheet.Cell{sheet.TextCell(strings.Repeat("x", 32767))}))
	must(t, table.Row([]sheet.Cell{sheet.TextCell("a\x01b _x0041_")}))
	must(t, table.Close())
	if notes := table.Notes(); notes.Cut != 1 || notes.Replaced != 1 {
		t.Errorf("%+v", notes)
	}
	rows, err := readAll(out.Bytes())
	must(t, err)
	if !strings.HasSuffix(rows[1][0], "cell)") || len(rows[2][0]) != 32767 || rows[3][0] != "a\uFFFDb _x0041_" {
		t.Errorf("cut as %.20q, %d bytes, %q", rows[1][0][len(rows[1][0])-40:], len(rows[2][0]), rows[3][0])
	}
}

// TestRedactedExportHidesInEveryFormat: buckets of time series, in which nothing can be hidden, are left out then.
func TestRedactedExportHidesInEveryFormat(t *testing.T) {
	ns := pitr.Namespace{DB: "shop", Collection: "orders"}
	buckets := pitr.Namespace{DB: "shop", Collection: "system.buckets.weather"}
	source := shelf{collections: []pitr.Collection{{NS: ns}, {NS: buckets}}, documents: map[pitr.Namespace][]bson.Raw{
		ns: {raw(t, bson.D{{Key: "_id", Value: 1}, {Key: "s", Value: "canary"}})}, buckets: {raw(t, bson.D{{Key: "_id", Value: 1}, {Key: "s", Value: "canary"}})}}}
	hide := func(pitr.Namespace, bson.Raw) bson.Raw {
		return raw(t, bson.D{{Key: "_id", Value: 1}, {Key: "s", Value: "(redacted)"}})
	}
	for _, format := range sheet.Formats {
		folder, listing, err := export(t, source, sheet.Options{Format: format, Hide: hide})
		must(t, err)
		for _, name := range filesBelow(t, folder) {
			content, err := os.ReadFile(filepath.Join(folder, name))
			must(t, err)
			if bytes.Contains(content, []byte("canary")) {
				t.Errorf("%s: %s shows it", format, name)
			}
		}
		if len(listing.LeftOut) != 1 || !listing.Redacted {
			t.Errorf("%s: %+v", format, listing)
		}
	}
}

func TestUnknownFormatsAreRefusedByName(t *testing.T) {
	for text, kind := range map[string]pitr.Kind{"parquet": pitr.KindUnsupported, "": pitr.KindInvalid, "CSV": pitr.KindInvalid} {
		if _, err := sheet.ParseFormat(text); pitr.KindOf(err) != kind || pitr.HintOf(err) == "" {
			t.Errorf("%q gives %v", text, err)
		}
	}
	for _, format := range sheet.Formats {
		if got, err := sheet.ParseFormat(string(format)); got != format || err != nil {
			t.Errorf("%q gives %v", format, err)
		}
	}
}
