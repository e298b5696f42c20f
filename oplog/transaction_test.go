package oplog_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"pitr"
	"pitr/internal/recording"
	"pitr/oplog"
)

const nullOpTime = `"prevOpTime":{"ts":{"$timestamp":{"t":0,"i":0}},"t":{"$numberLong":"-1"}}`

func previous(second int) string {
	return fmt.Sprintf(`"prevOpTime":{"ts":{"$timestamp":{"t":%d,"i":1}},"t":{"$numberLong":"1"}}`, second)
}

func session(id, number int) string {
	return fmt.Sprintf(`"lsid":{"id":%d},"txnNumber":{"$numberLong":"%d"}`, id, number)
}

// batch writes an applyOps entry that inserts the documents with these ids.
func batch(ids string, flags string, rest ...string) string {
	var ops []string
	for _, id := range strings.Fields(ids) {
		ops = append(ops, `{"op":"i","ns":"a.b",`+someUUID+`,"o":{"_id":`+id+`}}`)
	}
	return strings.Join(append([]string{`"op":"c","ns":"admin.$cmd","o":{"applyOps":[` + strings.Join(ops, ",") + `]` + flags + `}`}, rest...), ",")
}

// feed pushes entries, one per second from 1 on, and tells what counted: "second@from: ids".
func feed(t *testing.T, a *oplog.Assembler, entries ...string) (told []string, err error) {
	t.Helper()
	for i, rest := range entries {
		e, err := oplog.Decode(entry(t, i+1, rest))
		if err != nil {
			t.Fatal(err)
		}
		group, ok, err := a.Push(&e)
		if err != nil {
			return told, err
		}
		if !ok {
			continue
		}
		text := fmt.Sprintf("%d@%d:", group.OpTime.TS.Seconds(), group.At.Seconds())
		for _, op := range group.Ops {
			text += " " + op.O.Lookup("_id").String()[len(`{"$numberInt":"`):][:1]
		}
		told = append(told, text)
	}
	return told, nil
}

// TestAssembler: case D07; the shapes A to G of section 4.1 of the oplog facts.
func TestAssembler(t *testing.T) {
	plain := `"op":"i","ns":"a.b","o":{"_id":9},` + someUUID
	for name, test := range map[string]struct {
		entries []string
		want    string
		open    int
	}{
		"plain entries and no-ops": {entries: []string{plain, `"op":"n","ns":"","o":{}`, plain}, want: "1@1: 9; 3@3: 9"},
		"A: alone, whatever it points to": {entries: []string{
			batch("1", `,"partialTxn":true`, session(1, 1), nullOpTime),
			batch("2 3", "", session(1, 1), previous(1), `"multiOpType":1`)}, want: "2@2: 2 3", open: 1},
		"D: whole transaction":         {entries: []string{batch("1 2", "", session(1, 1), nullOpTime)}, want: "1@1: 1 2"},
		"D: without a previous optime": {entries: []string{batch("1 2", "", session(1, 1))}, want: "1@1: 1 2"},
		"F: batch without session":     {entries: []string{batch("1 2", "")}, want: "1@1: 1 2"},
		"B and E: long transaction among other entries": {entries: []string{
			batch("1 2", `,"partialTxn":true`, session(1, 1), nullOpTime), plain,
			batch("3", `,"partialTxn":true`, session(1, 1), previous(1)), plain,
			batch("4", `,"count":{"$numberLong":"4"}`, session(1, 1), previous(3))}, want: "2@2: 9; 4@4: 9; 5@5: 1 2 3 4"},
		"two long transactions interleaved": {entries: []string{
			batch("1", `,"partialTxn":true`, session(1, 1), nullOpTime),
			batch("5", `,"partialTxn":true`, session(2, 7), nullOpTime),
			batch("6", `,"count":2`, session(2, 7), previous(2)),
			batch("2", `,"count":2`, session(1, 1), previous(1))}, want: "3@3: 5 6; 4@4: 1 2"},
		"G: large batch without session": {entries: []string{
			batch("1", `,"partialTxn":true`, nullOpTime),
			batch("2", `,"count":2`, previous(1))}, want: "2@2: 1 2"},
		"C: prepared, counts before its commit entry": {entries: []string{
			batch("1 2", `,"prepare":true`, session(1, 1), nullOpTime), plain, plain,
			`"op":"c","ns":"admin.$cmd","o":{"commitTransaction":1,"commitTimestamp":{"$timestamp":{"t":3,"i":1}}},` + session(1, 1) + "," + previous(1)},
			want: "2@2: 9; 3@3: 9; 4@3: 1 2"},
		"C: prepared at the end of a chain": {entries: []string{
			batch("1", `,"partialTxn":true`, session(1, 1), nullOpTime),
			batch("2", `,"prepare":true,"count":2`, session(1, 1), previous(1)),
			`"op":"c","ns":"admin.$cmd","o":{"commitTransaction":1,"commitTimestamp":{"$timestamp":{"t":2,"i":5}}},` + session(1, 1) + "," + previous(2)},
			want: "3@2: 1 2"},
		"C: prepared without operations": {entries: []string{
			batch("", `,"prepare":true`, session(1, 1), nullOpTime),
			`"op":"c","ns":"admin.$cmd","o":{"commitTransaction":1,"commitTimestamp":{"$timestamp":{"t":2,"i":1}}},` + session(1, 1) + "," + previous(1)},
			want: "2@2:"},
		"C: aborted": {entries: []string{
			batch("1", `,"prepare":true`, session(1, 1), nullOpTime),
			`"op":"c","ns":"admin.$cmd","o":{"abortTransaction":1},` + session(1, 1) + "," + previous(1)}},
		"abort of what began before the first entry": {entries: []string{
			`"op":"c","ns":"admin.$cmd","o":{"abortTransaction":1},` + session(1, 1) + "," + previous(0), plain}, want: "2@2: 9"},
		"torso: the session goes on after an election": {entries: []string{
			batch("1", `,"partialTxn":true`, session(1, 1), nullOpTime),
			batch("2", "", session(1, 2), nullOpTime)}, want: "2@2: 2"},
		"torso: a retryable write of the session": {entries: []string{
			batch("1", `,"partialTxn":true`, session(1, 1), nullOpTime),
			plain + "," + session(1, 2)}, want: "2@2: 9"},
		"prepared chains survive their session": {entries: []string{
			batch("1", `,"prepare":true`, session(1, 1), nullOpTime),
			plain + "," + session(1, 2)}, want: "2@2: 9", open: 1},
		"nested applyOps": {entries: []string{
			`"op":"c","ns":"admin.$cmd","o":{"applyOps":[{"op":"i","ns":"a.b","o":{"_id":1}},{"op":"c","ns":"a.$cmd","o":{"applyOps":[{"op":"i","ns":"a.b","o":{"_id":2}}]}}]}`},
			want: "1@1: 1 2"},
		"incomplete at the end": {entries: []string{batch("1", `,"partialTxn":true`, session(1, 1), nullOpTime), plain}, want: "2@2: 9", open: 1},
	} {
		var a oplog.Assembler
		told, err := feed(t, &a, test.entries...)
		if got := strings.Join(told, "; "); err != nil || got != test.want {
			t.Errorf("%s: %q, %v; want %q", name, got, err, test.want)
		}
		if open := a.Open(); len(open) != test.open {
			t.Errorf("%s: open %+v, want %d", name, open, test.open)
		}
		if strings.HasPrefix(name, "torso") && len(a.Torsos()) != 1 {
			t.Errorf("%s: torsos %+v", name, a.Torsos())
		}
	}
}

func TestAssemblerRefuses(t *testing.T) {
	deep := `{"op":"i","ns":"a.b","o":{"_id":1}}`
	for range 30 {
		deep = `{"op":"c","ns":"a.$cmd","o":{"applyOps":[` + deep + `]}}`
	}
	commit := `"op":"c","ns":"admin.$cmd","o":{"commitTransaction":1,"commitTimestamp":{"$timestamp":{"t":3,"i":1}}},`
	for name, test := range map[string]struct {
		entries []string
		base    pitr.Timestamp
		want    pitr.Kind
	}{
		"chain without its head": {entries: []string{`"op":"n","ns":"","o":{}`, batch("1", `,"partialTxn":true`, session(1, 1), previous(1)),
			batch("2", `,"count":5`, session(1, 1), previous(2))}, want: pitr.KindHole},
		"last entry without its chain": {entries: []string{batch("1", `,"count":2`, session(1, 1), previous(99))}, want: pitr.KindHole},
		"commit of what was not read":  {entries: []string{commit + session(1, 1) + "," + previous(99)}, want: pitr.KindHole},
		"commit that the base holds":   {entries: []string{commit + session(1, 1) + "," + previous(99)}, base: pitr.NewTimestamp(3, 1), want: pitr.KindUnexpected},
		"count that does not fit":      {entries: []string{batch("1", `,"partialTxn":true`, nullOpTime), batch("2", `,"count":3`, previous(1))}, want: pitr.KindCorrupt},
		"part that is alone":           {entries: []string{batch("1", `,"partialTxn":true`, `"multiOpType":1`)}, want: pitr.KindCorrupt},
		"unknown operation in a batch": {entries: []string{`"op":"c","ns":"admin.$cmd","o":{"applyOps":[{"op":"zz","ns":"a.b","o":{}}]}`}, want: pitr.KindUnsupported},
		"dropDatabase in a batch":      {entries: []string{`"op":"c","ns":"admin.$cmd","o":{"applyOps":[{"op":"c","ns":"a.$cmd","o":{"dropDatabase":1}}]}`}, want: pitr.KindCorrupt},
		"nesting without end":          {entries: []string{`"op":"c","ns":"admin.$cmd","o":{"applyOps":[` + deep + `]}`}, want: pitr.KindCorrupt},
		"more than the memory limit":   {entries: []string{batch("1 2 3", `,"partialTxn":true`, session(1, 1), nullOpTime), batch("4", `,"partialTxn":true`, session(2, 1), nullOpTime)}, want: pitr.KindLimit},
	} {
		a := oplog.Assembler{MaxOpen: 250, Base: test.base}
		if _, err := feed(t, &a, test.entries...); pitr.KindOf(err) != test.want {
			t.Errorf("%s: %v of kind %q, want %q", name, err, pitr.KindOf(err), test.want)
		}
	}
}

// TestAssemblerKeepsWhatItNeeds: the caller may reuse the bytes of an entry once it is pushed.
func TestAssemblerKeepsWhatItNeeds(t *testing.T) {
	var a oplog.Assembler
	first := entry(t, 1, batch("1", `,"partialTxn":true`, session(1, 1), nullOpTime))
	e, err := oplog.Decode(first)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.Push(&e); err != nil {
		t.Fatal(err)
	}
	copy(first, bytes.Repeat([]byte{0xff}, len(first)))
	if e, err = oplog.Decode(entry(t, 2, batch("2", `,"count":2`, session(1, 1), previous(1)))); err != nil {
		t.Fatal(err)
	}
	group, ok, err := a.Push(&e)
	if err != nil || !ok || len(group.Ops) != 2 || group.First.TS != pitr.NewTimestamp(1, 1) {
		t.Errorf("%+v, %v, %v", group, ok, err)
	}
}

// TestCorpusLargeTransaction: a recorded transaction of three entries counts at its last one, in the order it was made.
func TestCorpusLargeTransaction(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 80 MB of text")
	}
	var a oplog.Assembler
	var largest oplog.Committed
	count := 0
	for line := range recording.Lines(t, recording.Files(t, "scripts/transaction-large.jsonl.zst")[0]) {
		if !line.Has("entries") {
			continue
		}
		for _, raw := range line.Documents(t, "entries") {
			e, err := oplog.Decode(raw)
			if err != nil {
				t.Fatal(err)
			}
			group, ok, err := a.Push(&e)
			if err != nil {
				t.Fatal(err)
			}
			if ok && len(group.Ops) > count {
				largest, count = group, len(group.Ops)
			}
		}
	}
	if count != 40 || largest.First.TS >= largest.At || largest.At != largest.OpTime.TS || len(a.Open()) != 0 {
		t.Errorf("the largest group has %d operations, first %s, at %s; open %v", count, largest.First, largest.At, a.Open())
	}
}
