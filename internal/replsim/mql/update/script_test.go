package update_test

import (
	"bytes"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/recording"
	"pitr/internal/replsim/mql"
	"pitr/internal/replsim/mql/update"
	"pitr/internal/replsim/mql/value"
)

// script plays recorded commands on plain lists of documents and compares what the updates give with what the server logged.
type script struct {
	t       *testing.T
	docs    map[string][]bson.Raw
	note    string
	entries []bson.Raw // what the server logged for the command, those of documents only
}

// Each update, findAndModify and insert of the recorded script gives the entries and errors that the server gave, and the
// collections that it showed in the end.
func TestCorpusUpdateScript(t *testing.T) {
	s := &script{t: t, docs: map[string][]bson.Raw{}}
	n := 0
	for line := range recording.Lines(t, filepath.Join(recording.Folder(t), "scripts", "update.jsonl.zst")) {
		n++
		s.note = line.Text(t, "note")
		s.entries = nil
		for _, e := range line.Documents(t, "entries") {
			if op := e.Lookup("op").StringValue(); op != "c" && op != "n" {
				s.entries = append(s.entries, e.Lookup("o").Document())
			}
		}
		s.play(line.Document(t, "command"), line.Document(t, "reply"))
		if len(s.entries) > 0 {
			t.Errorf("%s: %d entries too few; the next is %s", s.note, len(s.entries), s.entries[0])
		}
	}
	if n < 70 {
		t.Errorf("the script has only %d steps", n)
	}
}

func (s *script) play(command, reply bson.Raw) {
	elements, err := command.Elements()
	if err != nil {
		s.t.Fatal(err)
	}
	name := elements[0].Value().StringValue()
	switch elements[0].Key() {
	case "insert":
		for _, d := range list(command.Lookup("documents")) {
			doc, err := update.Insert(d, s.moment(), s.newID)
			if err != nil {
				s.t.Errorf("%s: %v", s.note, err)
			}
			s.insert(name, doc)
		}
	case "update":
		for _, u := range list(command.Lookup("updates")) {
			s.update(name, u, reply)
		}
	case "findAndModify":
		u := bson.D{{Key: "q", Value: command.Lookup("query")}, {Key: "u", Value: command.Lookup("update")}}
		if v, ok := command.Lookup("upsert").BooleanOK(); ok && v {
			u = append(u, bson.E{Key: "upsert", Value: true})
		}
		raw, err := bson.Marshal(u)
		if err != nil {
			s.t.Fatal(err)
		}
		s.update(name, raw, reply)
	case "find":
		want := list(reply.Lookup("cursor", "firstBatch"))
		if len(want) != len(s.docs[name]) {
			s.t.Fatalf("%s: %d documents, want %d", s.note, len(s.docs[name]), len(want))
		}
		for i, d := range s.docs[name] {
			if !bytes.Equal(d, want[i]) {
				s.t.Errorf("%s: %s, want %s", s.note, d, want[i])
			}
		}
	}
}

func (s *script) update(name string, u, reply bson.Raw) {
	err := s.tryUpdate(name, u)
	failures := list(reply.Lookup("writeErrors"))
	if len(failures) == 0 {
		if err != nil {
			s.t.Errorf("%s: %v", s.note, err)
		}
		return
	}
	var e *mql.Error
	if want := failures[0]; !errors.As(err, &e) || e.Code != want.Lookup("code").Int32() || e.Message != want.Lookup("errmsg").StringValue() {
		s.t.Errorf("%s: %v, want %s", s.note, err, want)
	}
}

func (s *script) tryUpdate(name string, u bson.Raw) error {
	filter, err := mql.Compile(u.Lookup("q").Document())
	if err != nil {
		return err
	}
	compiled, err := update.Compile(u.Lookup("u"), update.Options{ArrayFilters: u.Lookup("arrayFilters"), Filter: filter})
	if err != nil {
		return err
	}
	multi, _ := u.Lookup("multi").BooleanOK()
	found := false
	for i, d := range s.docs[name] {
		if ok, err := filter.Match(d); err != nil || !ok || found && !multi {
			continue
		}
		found = true
		r, err := compiled.Apply(d, s.moment())
		if err != nil {
			return err
		}
		if r.O != nil {
			s.logged(r.O)
		}
		s.docs[name][i] = r.After
	}
	if upsert, _ := u.Lookup("upsert").BooleanOK(); upsert && !found {
		doc, err := compiled.Upsert(s.moment(), s.newID)
		if err != nil {
			return err
		}
		s.insert(name, doc)
	}
	return nil
}

func (s *script) insert(name string, doc bson.Raw) {
	s.docs[name] = append(s.docs[name], doc)
	s.logged(doc)
}

func (s *script) logged(o bson.Raw) {
	if len(s.entries) == 0 {
		s.t.Errorf("%s: logs %s, the server logged nothing", s.note, o)
		return
	}
	if !bytes.Equal(o, s.entries[0]) {
		s.t.Errorf("%s: logs\n     %s\nwant %s", s.note, o, s.entries[0])
	}
	s.entries = s.entries[1:]
}

// newID and moment give what the server had: ids and times are not ours to predict.
func (s *script) newID() bson.ObjectID {
	id, _ := s.entries[0].Lookup("_id").ObjectIDOK()
	return id
}

func (s *script) moment() update.Moment {
	m := update.Moment{}
	if len(s.entries) > 0 {
		if d, ok := s.entries[0].Lookup("diff", "i", "now").DateTimeOK(); ok {
			m.Now = time.UnixMilli(d)
		}
		if sec, inc, ok := s.entries[0].Lookup("diff", "i", "nowts").TimestampOK(); ok {
			m.Timestamp = func() bson.Timestamp { return bson.Timestamp{T: sec, I: inc} }
		}
	}
	return m
}

func list(v bson.RawValue) []bson.Raw {
	var out []bson.Raw
	for _, e := range value.Of(v).Elements() {
		out = append(out, bson.Raw(e.Data))
	}
	return out
}
