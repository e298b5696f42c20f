package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"pitr"
	"pitr/internal/replsim"
)

// contents is a database as the application reads it: namespace and equality form of _id to the bytes.
type contents map[string]string

func (s *stage) contents(namespaces ...string) contents {
	s.t.Helper()
	ctx := context.Background()
	all := contents{}
	for _, ns := range namespaces {
		cursor, err := s.collection(ns).Find(ctx, bson.D{})
		s.must(err)
		for cursor.Next(ctx) {
			key, err := pitr.KeyOf(cursor.Current)
			s.must(err)
			all[ns+" "+key.Equal()] = string(cursor.Current)
		}
		s.must(cursor.Err())
	}
	return all
}

func (s *stage) collection(ns string) *mongo.Collection {
	db, name, _ := strings.Cut(ns, ".")
	return s.client.Database(db).Collection(name)
}

// against gives what two states differ in, as a plain map tells it: the first one's document, then the other's.
func (c contents) against(other contents) map[string]string {
	all := map[string]string{}
	for key, document := range c {
		if other[key] != document {
			all[key] = document + "|" + other[key]
		}
	}
	for key, document := range other {
		if _, both := c[key]; !both {
			all[key] = "|" + document
		}
	}
	return all
}

// changesOf reads the change lines of a run: E, then T.
func changesOf(t *testing.T, out string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for line := range strings.Lines(out) {
		var change struct {
			Type, NS string
			E, T     json.RawMessage
		}
		if err := json.Unmarshal([]byte(line), &change); err != nil {
			t.Fatal(err)
		}
		if change.Type != "change" {
			continue
		}
		e, at := documentOf(t, change.E), documentOf(t, change.T)
		some := e
		if some == nil {
			some = at
		}
		key, err := pitr.KeyOf(some)
		if err != nil {
			t.Fatal(err)
		}
		name := change.NS + " " + key.Equal()
		if _, twice := all[name]; twice {
			t.Errorf("%s is told twice", name)
		}
		all[name] = string(e) + "|" + string(at)
	}
	return all
}

func documentOf(t *testing.T, text json.RawMessage) bson.Raw {
	t.Helper()
	if text == nil {
		return nil
	}
	var beside struct {
		Raw string `json:"$raw"`
	}
	if json.Unmarshal(text, &beside) == nil && beside.Raw != "" {
		content, err := base64.StdEncoding.DecodeString(beside.Raw)
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	var document bson.Raw
	if err := bson.UnmarshalExtJSON(text, true, &document); err != nil {
		t.Fatal(err)
	}
	return document
}

// scribble changes a collection at random: documents large enough for a key index, with ids of several types.
func (s *stage) scribble(ns string, random *rand.Rand, n int) {
	size := 200
	if ns == "shop.orders" {
		size = 16_000 // together more than what a snapshot finds too small for an index
	}
	s.t.Helper()
	ctx := context.Background()
	id := func() any {
		number := random.IntN(400)
		return []any{int32(number), float64(number) + 0.5, fmt.Sprint(number), bson.D{{Key: "n", Value: int64(number)}}}[number%4]
	}
	for range n {
		content := make([]byte, size)
		for i := range content {
			content[i] = byte(random.Uint32())
		}
		document := bson.D{{Key: "v", Value: content}}
		var err error
		if random.IntN(5) == 0 {
			_, err = s.collection(ns).DeleteOne(ctx, bson.D{{Key: "_id", Value: id()}})
		} else {
			_, err = s.collection(ns).UpdateOne(ctx, bson.D{{Key: "_id", Value: id()}}, bson.D{{Key: "$set", Value: document}}, options.UpdateOne().SetUpsert(true))
		}
		s.must(err)
	}
}

// case F01: snapshots, moments and live, each against each, by key index and by reading, tell what a plain map tells.
func TestEverySideAgainstEverySide(t *testing.T) {
	s := newStage(t, nil, replsim.Options{})
	random := rand.New(rand.NewPCG(11, 5))
	const large, small = "shop.orders", "shop.few"
	all := []string{large, small}
	s.scribble(large, random, 900)
	s.scribble(small, random, 1)
	s.ok("init", "--cluster-name", clusterName)
	states := map[string]contents{}
	take := func() {
		id := jobPattern.FindString(s.ok("snapshot", "take").out)
		if len(objects(t, s.folder, id+"/keys-")) == 0 {
			t.Fatal("no collection of the snapshot has a key index: nothing would be compared by one")
		}
		states[id] = s.contents(all...)
	}
	moment := func() {
		s.ok("archive", "once")
		line := lastLine(t, s.ok("archive", "status", "--json"))
		states[fmt.Sprint("through ", line["last"])] = s.contents(all...)
	}
	take()
	s.scribble(large, random, 60)
	s.scribble("shop.new", random, 50)
	all = append(all, "shop.new")
	moment()
	s.scribble(large, random, 40)
	s.must(s.collection(small).Drop(context.Background()))
	take()
	s.scribble(large, random, 5)
	moment()
	s.scribble("shop.new", random, 20)
	states["live"] = s.contents(all...)
	different := 0
	for _, a := range slices.Sorted(maps.Keys(states)) {
		for _, b := range slices.Sorted(maps.Keys(states)) {
			want := states[b].against(states[a])
			different += len(want)
			for _, flags := range [][]string{{}, {"--read-all"}} {
				got := changesOf(t, s.ok(append([]string{"diff", a, b, "--json"}, flags...)...).out)
				if fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("diff %q %q %v tells %d changes, the map %d", a, b, flags, len(got), len(want))
				}
			}
		}
	}
	if len(states) != 5 || different < 1000 {
		t.Errorf("%d states and %d differences are too few to mean anything", len(states), different)
	}
}

// A server that cannot show the moment any more is read on as it is, and that is said.
func TestLiveThatMovesOn(t *testing.T) {
	s := newStage(t, nil, replsim.Options{})
	random := rand.New(rand.NewPCG(3, 5))
	s.scribble("shop.orders", random, 500)
	s.ok("init", "--cluster-name", clusterName)
	id := jobPattern.FindString(s.ok("snapshot", "take").out)
	before := s.contents("shop.orders")
	s.scribble("shop.orders", random, 20)
	want := s.contents("shop.orders").against(before)
	for _, fault := range []replsim.Fault{
		{Command: "find", Namespace: "shop.$cmd", Times: 1, Action: replsim.Fail, Code: 239, Message: "too old"},
		{Command: "find", Namespace: "shop.$cmd", Times: 2, Action: replsim.Fail, Code: 43, Message: "no cursor"},
	} {
		injected := s.sim.Inject(fault)
		got := s.ok("diff", id, "live", "--json")
		if injected.Fired() != fault.Times {
			t.Errorf("code %d came %d times", fault.Code, injected.Fired())
		}
		injected.Remove()
		if told := changesOf(t, got.out); fmt.Sprint(told) != fmt.Sprint(want) {
			t.Errorf("code %d: %d changes are told, %d are there", fault.Code, len(told), len(want))
		}
		moved, says := lastLine(t, got)["moved"]
		if says != (fault.Code == 239) {
			t.Errorf("code %d: the summary says that %v moved on", fault.Code, moved)
		}
	}
	s.sim.Inject(replsim.Fault{Command: "find", Namespace: "shop.$cmd", Times: 1, Action: replsim.Fail, Code: 246, Message: "not yet"})
	if got := s.ok("diff", id, "live", "--summary"); !strings.Contains(got.err, "live moved on") || !strings.Contains(got.err, "shop.orders") {
		t.Errorf("a comparison with a moving side says\n%s%s", got.out, got.err)
	}
}

func TestFormatsOfADifference(t *testing.T) {
	s := newStage(t, nil, replsim.Options{})
	s.scribble("shop.orders", rand.New(rand.NewPCG(3, 5)), 10)
	s.ok("init", "--cluster-name", clusterName)
	id := jobPattern.FindString(s.ok("snapshot", "take").out)
	if got := s.ok("diff", id, "live", "--format", "json"); lastLine(t, got)["type"] != "summary" {
		t.Errorf("as JSON: %s", got.out)
	}
	for _, form := range []string{"html", "xlsx", "yaml"} {
		if got := s.pitr("diff", id, "live", "--format", form); got.code != exitUsage || !strings.Contains(got.err, "--as-lost-set") {
			t.Errorf("%s: exit %d\n%s", form, got.code, got.err)
		}
	}
}

// foreignRestore brings databases back as another tool does: one collection is dropped and made anew, the documents of
// the others are written one by one.
func (s *stage) foreignRestore(anew string, to map[string]contents) {
	s.t.Helper()
	ctx := context.Background()
	for ns, documents := range to {
		c := s.collection(ns)
		if ns == anew {
			s.must(c.Drop(ctx))
			s.must(s.client.Database(c.Database().Name()).CreateCollection(ctx, c.Name()))
		} else {
			_, err := c.DeleteMany(ctx, bson.D{})
			s.must(err)
		}
		for _, document := range documents {
			_, err := c.InsertOne(ctx, bson.Raw(document))
			s.must(err)
		}
	}
}

// TestLostSetOfAForeignRestore: snapshot of the damage, somebody else's restore, and the comparison as a job.
func TestLostSetOfAForeignRestore(t *testing.T) {
	s := newStage(t, stageUsers, replsim.Options{})
	s.prepare()
	namespaces := s.story.Model().Namespaces()
	good := map[string]contents{}
	for _, ns := range namespaces {
		good[ns] = s.contents(ns)
	}
	s.damage()
	s.ok("init", "--cluster-name", clusterName)
	id := jobPattern.FindString(s.ok("snapshot", "take", "--reason", "before-restore").out)
	damaged := s.contents(namespaces...)
	s.foreignRestore("deviceauth.devices", good)
	_, err := s.collection("deviceauth.devices").InsertOne(context.Background(), bson.D{{Key: "_id", Value: "came later"}})
	s.must(err)
	live := s.contents(namespaces...)
	want := damaged.against(live)

	s.sim.ForgetCommands()
	got := s.ok("diff", id, "live", "--as-lost-set")
	if writes := s.writes(); len(writes) > 0 {
		t.Errorf("a comparison wrote %v", writes)
	}
	job := jobPattern.FindString(got.out)
	if !strings.Contains(got.err, "pitr report "+job) {
		t.Errorf("the next command is not named: %s", got.err)
	}
	report := s.ok("report", job, "--json")
	if told := changesOf(t, report.out); fmt.Sprint(told) != fmt.Sprint(want) || len(want) < 20 {
		t.Errorf("the lost set has %d records, the map %d", len(told), len(want))
	}
	line := lastLine(t, report)
	if line["kind"] != "compare" || line["state"] != "done" || line["lost"] != float64(len(want)) || line["restored"] != 0.0 {
		t.Errorf("the job is %v", line)
	}
	if !strings.Contains(report.out, "collection re-created") || !strings.Contains(report.err, "left out") {
		t.Errorf("catalog steps or the word about events are missing:\n%s", report.err)
	}
	if shown := s.ok("report", job); !strings.Contains(shown.out, "what snapshot "+id+" had and live has not") {
		t.Errorf("the report says\n%.300s", shown.out)
	}
	page := s.t.TempDir() + "/lost.html"
	s.ok("report", job, "--html", page)
	for _, command := range []string{"resume", "undo"} {
		args := []string{command, job}
		if command == "undo" {
			args = append(args, "--confirm-target", clusterName)
		}
		if refused := s.pitr(args...); refused.code != exitRefused {
			t.Errorf("%s of a comparison ends with %d:\n%s", command, refused.code, refused.err)
		}
	}
	if second := s.pitr("diff", id, "live", "--as-lost-set", "--exit-code", "--json"); second.code != exitDifferent {
		t.Errorf("--exit-code ends with %d:\n%s", second.code, second.err)
	}
	if refused := s.pitr("diff", "live", id, "--as-lost-set"); refused.code != exitRefused || !strings.Contains(refused.err, "SNAPSHOT live") {
		t.Errorf("live as the damaged state ends with %d:\n%s", refused.code, refused.err)
	}
	s.leaveLease()
	if locked := s.pitr("diff", id, "live", "--as-lost-set"); locked.code != exitLocked {
		t.Errorf("beside a job that writes it ends with %d:\n%s", locked.code, locked.err)
	}
	s.whole(t)
	s.ok("timeline")
}

// A lost set from two states of the archive has a gap with a history: the report tells what happened in it.
func TestLostSetOfTwoMoments(t *testing.T) {
	s := newStage(t, stageUsers, replsim.Options{})
	s.play()
	job := jobPattern.FindString(s.ok("diff", "now", s.toGood(), "--as-lost-set").out)
	page := s.ok("report", job, "--json")
	if strings.Contains(page.err, "left out") || !strings.Contains(page.out, `"type":"duplicates"`) {
		t.Errorf("the report of a gap in the archive has no duplicates:\n%s", page.err)
	}
	if backward := s.ok("report", jobPattern.FindString(s.ok("diff", s.toGood(), "now", "--as-lost-set").out)); !strings.Contains(backward.err, "left out") {
		t.Error("a comparison against the order of time tells events of a gap")
	}
	s.whole(t)
}

// Whatever a kill leaves is no lost set, and the next run makes one. // case C01
func TestKilledLostSets(t *testing.T) {
	program := buildKillable(t)
	s := newStage(t, stageUsers, replsim.Options{})
	s.play()
	id := fmt.Sprint(lastLine(t, s.ok("snapshot", "list", "--json"))["id"])
	args := []string{"diff", id, "live", "--as-lost-set"}
	first := s.copied(t)
	places := s.copied(t).places(program, args...)
	mustPass(t, places, failpointsOf(t, "../../restore/lostset")...)
	mustPass(t, places, "put.before.intent", "put.after.change", "put.before.changes", "put.after.changes", "put.before.result")
	for _, place := range places {
		t.Run(place, func(t *testing.T) {
			run := first.copied(t)
			if !run.killAt(program, place, args...) {
				t.Skip("this time it was not passed so often")
			}
			for line := range strings.Lines(run.ok("jobs", "--json").out) {
				var left jobLine
				run.must(json.Unmarshal([]byte(line), &left))
				got := run.pitr("report", string(left.Job), "--json")
				switch {
				case got.code == exitDone && len(changesOf(t, got.out)) > 0: // the list of its parts was there
				case got.code != exitNotFound || left.State == "done":
					t.Errorf("a job that was killed is %q, its report ends with %d", left.State, got.code)
				}
			}
			run.whole(t)
			job := jobPattern.FindString(run.ok(args...).out)
			want := changesOf(t, run.ok("diff", "live", id, "--json").out)
			if got := changesOf(t, run.ok("report", job, "--json").out); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("the next run finds %d records of %d", len(got), len(want))
			}
			run.whole(t)
		})
	}
}

// A comparison that is stopped leaves a job that says so, and no work file. // case C09
func TestStoppedLostSet(t *testing.T) {
	s := newStage(t, nil, replsim.Options{})
	s.scribble("shop.orders", rand.New(rand.NewPCG(3, 5)), 100)
	s.ok("init", "--cluster-name", clusterName)
	id := jobPattern.FindString(s.ok("snapshot", "take").out)
	held := s.sim.Inject(replsim.Fault{Command: "find", Namespace: "shop.$cmd", Times: 1, Delay: 20 * time.Second})
	defer held.Remove()
	ctx, cancel := context.WithCancelCause(context.Background())
	go func() {
		for held.Fired() == 0 {
			time.Sleep(5 * time.Millisecond)
		}
		cancel(&signalError{signal: syscall.SIGTERM})
	}()
	got := s.pitrAt(ctx, streams{in: strings.NewReader("")}, "diff", id, "live", "--as-lost-set")
	if got.code != exitTerminated {
		t.Errorf("exit %d:\n%s", got.code, got.err)
	}
	line := lastLine(t, s.ok("jobs", "--json"))
	if line["kind"] != "compare" || line["state"] != "interrupted" {
		t.Errorf("the job is %v", line)
	}
	if report := s.pitr("report", fmt.Sprint(line["job"])); report.code != exitNotFound {
		t.Errorf("the report of a stopped comparison ends with %d", report.code)
	}
}
