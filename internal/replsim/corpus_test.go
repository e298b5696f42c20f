package replsim_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/internal/recording"
	"pitr/internal/replsim"
)

// step is one line of a script.
type step struct {
	N       int32
	Note    string
	DB      string
	Command bson.Raw
	Reply   bson.Raw
	Entries []bson.Raw
}

func readScript(t *testing.T, path string) []step {
	t.Helper()
	var steps []step
	for line := range recording.Lines(t, path) {
		s := step{Note: line.Text(t, "note"), DB: line.Text(t, "db"), Command: line.Document(t, "command"), Reply: line.Document(t, "reply"), N: int32(len(steps) + 1)}
		if line.Has("entries") {
			s.Entries = line.Documents(t, "entries")
		}
		steps = append(steps, s)
	}
	return steps
}

// deviation names a step that does not come out as recorded, and why.
type deviation struct {
	script string
	n      int32
}

func readDeviations(t *testing.T) map[deviation]string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", "deviations.txt"))
	if err != nil {
		t.Fatal(err)
	}
	known := map[deviation]string{}
	for i, line := range strings.Split(string(content), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		cells := strings.SplitN(line, "\t", 3)
		n, err := strconv.Atoi(cells[min(1, len(cells)-1)])
		if len(cells) != 3 || err != nil || cells[2] == "" {
			t.Fatalf("deviations.txt:%d: want script, step and reason, separated by tabs", i+1)
		}
		known[deviation{cells[0], int32(n)}] = cells[2]
	}
	return known
}

// TestCorpusScripts replays every recorded script on a fresh server and compares replies and oplog entries, after renaming
// times, UUIDs, ids and dates by first appearance. What is listed in testdata/deviations.txt may differ; a listed step that
// comes out right fails, so that the list only shrinks.
func TestCorpusScripts(t *testing.T) {
	known := readDeviations(t)
	scripts := recording.Files(t, "scripts/*.jsonl.zst")
	same, listed := 0, 0
	for _, path := range scripts {
		name := strings.TrimSuffix(filepath.Base(path), ".jsonl.zst")
		t.Run(name, func(t *testing.T) {
			r := newReplay(t, readScript(t, path))
			for _, s := range r.steps {
				problem := r.play(s)
				reason, isKnown := known[deviation{name, s.N}]
				switch {
				case problem == "" && isKnown:
					t.Errorf("%s %d (%s) comes out as recorded now: take it out of deviations.txt (%s)", name, s.N, s.Note, reason)
				case problem == "":
					same++
				case isKnown:
					listed++
				default:
					t.Errorf("%s %d (%s): %s", name, s.N, s.Note, problem)
				}
			}
		})
	}
	t.Logf("%d steps as recorded, %d listed as different", same, listed)
}

// replay is one script on its way through a server.
type replay struct {
	t      *testing.T
	steps  []step
	server *replsim.Server
	client *rawClient
	clock  *scriptClock
	names  *renaming
	uuids  []pitr.UUID
	last   pitr.Timestamp
}

// scriptClock shows the time of the recording, moved on by hand.
type scriptClock struct{ now time.Time }

func (c *scriptClock) Now() time.Time { return c.now }

func newReplay(t *testing.T, steps []step) *replay {
	t.Helper()
	r := &replay{t: t, steps: steps, clock: &scriptClock{}, names: newRenaming()}
	first := replyTime(steps[0].Reply)
	r.clock.now = first.Time()
	server, err := replsim.Start(context.Background(), replsim.Options{Clock: r.clock.Now, NewUUID: r.nextUUID})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	r.server = server
	r.client = dialRaw(t, server.Host())
	t.Cleanup(r.client.close)
	r.names.host(server.Host())
	r.last = server.OplogEnd()
	return r
}

// nextUUID gives the collections of a script the UUIDs that they had when it was recorded: lists come in their order.
func (r *replay) nextUUID() pitr.UUID {
	if r == nil || len(r.uuids) == 0 {
		return replsim.RandomUUID()
	}
	next := r.uuids[0]
	r.uuids = r.uuids[1:]
	return next
}

func replyTime(reply bson.Raw) pitr.Timestamp {
	t, i, _ := reply.Lookup("$clusterTime", "clusterTime").TimestampOK()
	return pitr.NewTimestamp(t, i)
}

// play runs one step and gives the first difference, empty if there is none.
func (r *replay) play(s step) string {
	r.expectUUIDs(s)
	r.setClock(s)
	command := r.names.toLive(s.Command)
	if side, ok := asides[fmt.Sprintf("%s/%s", s.DB, s.Note)]; ok {
		done := make(chan struct{})
		defer func() { <-done }()
		go func() {
			defer close(done)
			time.Sleep(50 * time.Millisecond)
			other := dialRaw(r.t, r.server.Host())
			defer other.close()
			other.run(side.db, side.command)
		}()
	}
	if s.Note == "after the monitor" {
		r.server.RunTTL()
	}
	live := r.client.run(s.DB, command)
	if problem := r.names.compare(r.withoutPast(s.Reply), live, "reply"); problem != "" {
		r.newEntries()
		return problem
	}
	return r.compareEntries(s)
}

// withoutPast takes documents out of a reply that the recorded server had from before the script.
func (r *replay) withoutPast(reply bson.Raw) bson.Raw {
	ns, _ := reply.Lookup("cursor", "ns").StringValueOK()
	path := map[string][]string{"config.transactions": {"lastWriteOpTime", "ts"}, "config.system.preimages": {"_id", "ts"}}[ns]
	if path == nil {
		return reply
	}
	start := replyTime(r.steps[0].Reply)
	if len(r.steps[0].Entries) > 0 {
		t, i, _ := r.steps[0].Entries[0].Lookup("ts").TimestampOK()
		start = pitr.NewTimestamp(t, i)
	}
	values, err := reply.Lookup("cursor", "firstBatch").Array().Values()
	if err != nil {
		r.t.Fatal(err)
	}
	kept := bson.A{}
	for _, v := range values {
		t, i, _ := v.Document().Lookup(path...).TimestampOK()
		if pitr.NewTimestamp(t, i) >= start {
			kept = append(kept, v)
		}
	}
	cursor := bson.D{{Key: "firstBatch", Value: kept}, {Key: "id", Value: reply.Lookup("cursor", "id")}, {Key: "ns", Value: ns}}
	elements, err := reply.Elements()
	if err != nil {
		r.t.Fatal(err)
	}
	d := bson.D{{Key: "cursor", Value: cursor}}
	for _, e := range elements[1:] {
		d = append(d, bson.E{Key: e.Key(), Value: e.Value()})
	}
	return mustMarshal(d)
}

// asides are commands that were sent beside a step when it was recorded.
var asides = map[string]struct {
	db      string
	command bson.Raw
}{
	"local/one new": {"tail", mustMarshal(bson.D{{Key: "insert", Value: "c"}, {Key: "documents", Value: bson.A{bson.D{{Key: "_id", Value: int32(3)}}}}})},
}

func mustMarshal(d bson.D) bson.Raw {
	raw, err := bson.Marshal(d)
	if err != nil {
		panic(err)
	}
	return raw
}

func (r *replay) expectUUIDs(s step) {
	r.uuids = nil
	for _, e := range s.Entries {
		r.collectUUIDs(e)
		inner, _ := e.Lookup("o", "applyOps").ArrayOK()
		values, err := inner.Values()
		if err != nil {
			continue
		}
		for _, v := range values {
			if op, ok := v.DocumentOK(); ok {
				r.collectUUIDs(op)
			}
		}
	}
}

func (r *replay) collectUUIDs(e bson.Raw) {
	o, _ := e.Lookup("o").DocumentOK()
	value := e.Lookup("ui")
	switch {
	case o.Lookup("create").Type != 0:
	case o.Lookup("startIndexBuild").Type != 0:
		value = o.Lookup("indexBuildUUID")
	default:
		return
	}
	if uuid, err := pitr.UUIDOf(value); err == nil {
		r.uuids = append(r.uuids, uuid)
	}
}

// setClock shows the wall clock that the step's entries were written at, else the second of its reply.
func (r *replay) setClock(s step) {
	now := replyTime(s.Reply).Time()
	if len(s.Entries) > 0 {
		first := s.Entries[0]
		t, _, _ := first.Lookup("ts").TimestampOK()
		now = time.Unix(int64(t), 0)
	}
	if now.After(r.clock.now) {
		r.clock.now = now
	}
}

// newEntries gives the entries that appeared since the step before, without those that a server writes by the clock.
func (r *replay) newEntries() []bson.Raw {
	var fresh []bson.Raw
	for _, e := range r.server.OplogAfter(r.last) {
		t, i, _ := e.Lookup("ts").TimestampOK()
		r.last = pitr.NewTimestamp(t, i)
		if !own(e) {
			fresh = append(fresh, e)
		}
	}
	return fresh
}

// own reports whether an entry is the server's own doing, at a moment that differs from run to run.
func own(e bson.Raw) bool {
	message, _ := e.Lookup("o", "msg").StringValueOK()
	ns, _ := e.Lookup("ns").StringValueOK()
	return message == "periodic noop" || ns == "config.system.sessions" || ns == "admin.system.keys"
}

func (r *replay) compareEntries(s step) string {
	live := r.newEntries()
	recorded := slices.DeleteFunc(slices.Clone(s.Entries), own)
	for i, e := range recorded {
		if i >= len(live) {
			return fmt.Sprintf("entry %d of %d is missing: %.400s", i+1, len(recorded), e)
		}
		if problem := r.names.compare(e, live[i], fmt.Sprintf("entry %d", i+1)); problem != "" {
			return problem
		}
	}
	if len(live) > len(recorded) {
		return fmt.Sprintf("%d entries instead of %d, the first too many: %.400s", len(live), len(recorded), live[len(recorded)])
	}
	return ""
}
