package oplog_test

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"math/rand"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/catalog"
	"pitr/format"
	"pitr/internal/recording"
	"pitr/oplog"
	"pitr/storage"
)

// bubble runs a test on a clock of its own. The decompressors that package format keeps for reuse hold channels, which must
// not be carried from one bubble into another: two collections empty the pool.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	runtime.GC()
	runtime.GC()
	synctest.Test(t, f)
	runtime.GC()
	runtime.GC()
}

func newRepository(t *testing.T, store storage.Store) *catalog.Repository {
	t.Helper()
	if _, err := store.Stat(t.Context(), "pitr.json"); err != nil {
		if _, err := catalog.Create(t.Context(), store, catalog.CreateOptions{ClusterName: "test"}); err != nil {
			t.Fatal(err)
		}
	}
	repository, err := catalog.Open(t.Context(), store, catalog.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return repository
}

func archiver(repository *catalog.Repository, m *member) *oplog.Archiver {
	return oplog.NewArchiver(m, repository, oplog.ArchiveOptions{Lease: catalog.LeaseOptions{Holder: "test"}})
}

// once archives what there is; everything that the member has counts as committed.
func once(t *testing.T, repository *catalog.Repository, m *member) oplog.ArchiveStatus {
	t.Helper()
	m.tail = 0
	status, err := archiver(repository, m).Once(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return status
}

// lines gives the archived entries of the tip, by their windows.
func lines(t *testing.T, repository *catalog.Repository) (windows []pitr.Window, entries []bson.Raw) {
	t.Helper()
	timeline, err := repository.Timeline(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range timeline.Lines {
		if line.Branch != timeline.Tip() {
			continue
		}
		own := catalog.Timeline{Lines: []catalog.Line{{Branch: line.Branch, Segments: line.Segments}}}
		windows = own.Windows(line.Branch)
		for _, window := range windows {
			for entry, err := range repository.Entries(t.Context(), catalog.BranchWindow{Branch: line.Branch, Window: window}) {
				if err != nil {
					t.Fatal(err)
				}
				entries = append(entries, entry)
			}
		}
	}
	return windows, entries
}

func mustEqual(t *testing.T, got, want []bson.Raw) {
	t.Helper()
	if !slices.EqualFunc(got, want, func(a, b bson.Raw) bool { return bytes.Equal(a, b) }) {
		t.Fatalf("%d entries are archived, %d were to be, or their bytes differ", len(got), len(want))
	}
}

// Recorded oplogs of a real server, archived by runs that are stopped again and again, with a majority point that follows
// behind: no entry is lost, doubled or changed.
func TestCorpusArchiveIsWholeHoweverItIsInterrupted(t *testing.T) {
	for _, file := range recording.Files(t, "*/*/oplog.jsonl.zst") {
		t.Run(filepath.Base(filepath.Dir(filepath.Dir(file)))+filepath.Base(filepath.Dir(file)), func(t *testing.T) {
			all := slices.Collect(recording.Documents(t, file))
			bubble(t, func(t *testing.T) { archiveInPieces(t, all) })
		})
	}
}

func archiveInPieces(t *testing.T, all []bson.Raw) {
	random := rand.New(rand.NewSource(int64(len(all))))
	store := storage.NewMemory()
	m := newMember(all[0])
	m.tail, m.batch = 0, 40
	repository := newRepository(t, store)
	once(t, repository, m)
	for next := 1; next < len(all); {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			a := oplog.NewArchiver(m, newRepository(t, store), oplog.ArchiveOptions{Lease: catalog.LeaseOptions{Holder: "test"},
				CutBytes: int64(2000 + random.Intn(200_000))})
			done <- a.Follow(ctx)
		}()
		for range random.Intn(20) {
			end := min(len(all), next+random.Intn(max(2, len(all)/40)))
			m.mu.Lock()
			m.entries, m.tail = append(m.entries, all[next:end]...), random.Intn(5)
			m.mu.Unlock()
			next = end
			if random.Intn(5) == 0 {
				m.change(func() {}) // cursors die
			}
			time.Sleep(time.Duration(random.Intn(4000)) * time.Millisecond)
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	once(t, repository, m)
	windows, entries := lines(t, repository)
	if len(windows) != 1 {
		t.Fatalf("the archive is in pieces: %v", windows)
	}
	mustEqual(t, entries, all)
	checkFacts(t, repository, all)
}

// checkFacts compares what segments say of themselves with what their entries say.
func checkFacts(t *testing.T, repository *catalog.Repository, all []bson.Raw) {
	t.Helper()
	timeline, err := repository.Timeline(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	open := openBefore(t, all)
	for _, segment := range timeline.Lines[0].Segments {
		container, facts, err := repository.OpenSegment(t.Context(), timeline.Tip(), segment)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := chainsOf(facts.OpenChains), open[facts.First]; got != want {
			t.Errorf("segment %v says that these chains are open: %q, they are %q", segment.Window, got, want)
		}
		counts := map[string]int64{}
		for frame := range container.Frames() {
			block, err := container.Read(t.Context(), frame, nil)
			if err != nil {
				t.Fatal(err)
			}
			touched := map[uint64]bool{}
			for raw := range block.Documents() {
				for _, op := range operations(t, raw, counts) {
					if op.Kind == oplog.KindInsert || op.Kind == oplog.KindUpdate || op.Kind == oplog.KindDelete {
						key, err := op.Key()
						if err != nil {
							t.Fatal(err)
						}
						touched[format.KeyHash(key)] = true
					}
				}
			}
			for _, hash := range facts.Touched[frame] {
				if !touched[hash] {
					t.Errorf("segment %v, frame %d: a key that nothing touches", segment.Window, frame)
				}
			}
			if len(facts.Touched[frame]) != len(touched) || !slices.IsSorted(facts.Touched[frame]) {
				t.Errorf("segment %v, frame %d: %d touched keys, want %d in order", segment.Window, frame, len(facts.Touched[frame]), len(touched))
			}
		}
		if fmt.Sprint(counts) != fmt.Sprint(facts.Counts) || len(facts.Unknown) != 0 {
			t.Errorf("segment %v counts %v and %v unknown, want %v", segment.Window, facts.Counts, facts.Unknown, counts)
		}
	}
}

func operations(t *testing.T, raw bson.Raw, counts map[string]int64) []oplog.Op {
	t.Helper()
	entry, err := oplog.Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	ops, err := entry.Operations()
	if err != nil {
		t.Fatal(err)
	}
	if entry.Kind == oplog.KindApplyOps {
		counts["applyOps"]++
	}
	for _, op := range ops {
		name := op.Kind.String()
		if op.NS.DB != "" {
			name += " " + strings.TrimSuffix(op.NS.String(), ".")
		}
		counts[name]++
	}
	return ops
}

// openBefore asks the assembler, which keeps whole transactions, which chains are open before each entry.
func openBefore(t *testing.T, all []bson.Raw) map[pitr.OpTime]string {
	t.Helper()
	open := map[pitr.OpTime]string{}
	var assembler oplog.Assembler
	for _, raw := range all {
		entry, err := oplog.Decode(raw)
		if err != nil {
			t.Fatal(err)
		}
		var list []format.OpenChain
		for _, chain := range assembler.Open() {
			list = append(list, format.OpenChain{Session: chain.Session.ID, TxnNumber: chain.Session.Txn, First: chain.First})
		}
		open[entry.OpTime] = chainsOf(list)
		if _, _, err := assembler.Push(&entry); err != nil {
			t.Fatal(err)
		}
	}
	return open
}

func chainsOf(list []format.OpenChain) string {
	var text []string
	for _, chain := range list {
		text = append(text, fmt.Sprintf("%s/%d since %s", chain.Session, chain.TxnNumber, chain.First))
	}
	slices.Sort(text)
	return strings.Join(text, ", ")
}

// The long transactions of a real server, in segments of one entry: open chains are recorded wherever a cut falls.
func TestCorpusArchiveOfLongTransactions(t *testing.T) {
	if testing.Short() {
		t.Skip("entries of 16 MiB")
	}
	var all []bson.Raw
	for line := range recording.Lines(t, filepath.Join(recording.Folder(t), "scripts", "transaction-large.jsonl.zst")) {
		if line.Has("entries") && string(line["entries"]) != "null" {
			all = append(all, line.Documents(t, "entries")...)
		}
	}
	bubble(t, func(t *testing.T) {
		repository := newRepository(t, storage.NewMemory())
		m := newMember(all[0])
		m.batch = 1
		once(t, repository, m)
		for i := 1; i < len(all); i++ {
			m.grow(all[i])
			once(t, repository, m) // a new run each time: chains are found again from the archive
		}
		_, entries := lines(t, repository)
		mustEqual(t, entries, all)
		checkFacts(t, repository, all)
		chained := false
		for _, open := range openBefore(t, all) {
			chained = chained || open != ""
		}
		if !chained {
			t.Error("no transaction of several entries is in the recording")
		}
	})
}

// The table of oplog-facts 6.7, row by row.
func TestArchiveJoinsOnlyWhatContinuesIt(t *testing.T) {
	base := func(t *testing.T) []bson.Raw { return inserts(t, 1, "us", 10, 11, 12, 13) }
	for name, c := range map[string]struct {
		oplog   func(t *testing.T) []bson.Raw
		kind    pitr.Kind
		windows []pitr.Window
		reason  string
	}{
		"continuous": {
			oplog:   func(t *testing.T) []bson.Raw { return append(base(t), inserts(t, 1, "us", 14, 15)...) },
			windows: []pitr.Window{{After: 9, Through: 15}}},
		"member with a shorter oplog that still has our entry": {
			oplog:   func(t *testing.T) []bson.Raw { return append(base(t)[3:], inserts(t, 2, "us", 14, 15)...) },
			windows: []pitr.Window{{After: 9, Through: 15}}},
		"same time, other term": {
			oplog: func(t *testing.T) []bson.Raw { return append(base(t)[:3], inserts(t, 2, "us", 13, 14)...) },
			kind:  pitr.KindConflict},
		"same time and term, other bytes": {
			oplog: func(t *testing.T) []bson.Raw { return append(base(t)[:3], inserts(t, 1, "others", 13, 14)...) },
			kind:  pitr.KindConflict},
		"our entry never was": {
			oplog: func(t *testing.T) []bson.Raw { return append(base(t)[:3], inserts(t, 2, "others", 14, 15)...) },
			kind:  pitr.KindConflict},
		"rolled over": {
			oplog:   func(t *testing.T) []bson.Raw { return inserts(t, 1, "us", 20, 21) },
			windows: []pitr.Window{{After: 9, Through: 13}, {After: 19, Through: 21}}, reason: "had rolled over"},
		"rolled over, nothing between the times": {
			oplog:   func(t *testing.T) []bson.Raw { return inserts(t, 1, "us", 14, 15) },
			windows: []pitr.Window{{After: 9, Through: 13}, {After: 13, Through: 15}}, reason: "do not join"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				repository := newRepository(t, storage.NewMemory())
				m := newMember(base(t)...)
				m.majority = pitr.OpTime{TS: 10, Term: 1} // the first run begins there
				if _, err := archiver(repository, m).Once(t.Context()); err != nil {
					t.Fatal(err)
				}
				once(t, repository, m)
				m.entries = c.oplog(t)
				_, err := archiver(repository, m).Once(t.Context())
				if pitr.KindOf(err) != c.kind || c.kind == "" && err != nil {
					t.Fatalf("error %v, want kind %q", err, c.kind)
				}
				windows, _ := lines(t, repository)
				if c.kind != "" {
					if !strings.Contains(pitr.HintOf(err), "`pitr init`") {
						t.Errorf("the hint does not lead on: %s", pitr.HintOf(err))
					}
					c.windows = []pitr.Window{{After: 9, Through: 13}}
				}
				if !slices.Equal(windows, c.windows) {
					t.Errorf("windows %v, want %v", windows, c.windows)
				}
				timeline, err := repository.Timeline(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if holes := timeline.Holes(timeline.Tip()); (c.reason != "") != (len(holes) == 1) || c.reason != "" && !strings.Contains(holes[0].Reason, c.reason) {
					t.Errorf("holes %v, want one with %q", holes, c.reason)
				}
			})
		})
	}
}

// A member that is behind the archive is waited for, and given up by a run that has an end.
func TestArchiveWaitsForAMemberThatIsBehind(t *testing.T) {
	bubble(t, func(t *testing.T) {
		repository := newRepository(t, storage.NewMemory())
		m := newMember(inserts(t, 1, "us", 10, 11, 12)...)
		once(t, repository, m)
		all := m.entries
		m.entries = all[:1]
		var waiting atomic.Value
		a := oplog.NewArchiver(m, repository, oplog.ArchiveOptions{Report: func(s oplog.ArchiveStatus) { waiting.Store(s.Waiting) }})
		m.tail, m.majority = -1, pitr.OpTime{TS: 12, Term: 1}
		go func() {
			time.Sleep(2 * time.Minute)
			m.mu.Lock()
			defer m.mu.Unlock()
			m.entries, m.tail = append(slices.Clone(all), insert(t, 13, 1, "us")), 0
		}()
		if _, err := a.CatchUp(t.Context(), 13); err != nil {
			t.Fatal(err)
		}
		windows, _ := lines(t, repository)
		if !slices.Equal(windows, []pitr.Window{{After: 11, Through: 13}}) || waiting.Load() == nil {
			t.Errorf("windows %v, waited for %v", windows, waiting.Load())
		}
		m.entries = all[:1]
		if _, err := a.CatchUp(t.Context(), 14); pitr.KindOf(err) != pitr.KindUnavailable {
			t.Errorf("gave up with %v", err)
		}
	})
}

// Only what a majority has is archived. The member rolls back between the read and the look, and shows the majority point of
// the new history, which is later than everything that was read.
func TestCorpusArchiveHoldsBackWhatARollbackTakes(t *testing.T) {
	before, after := rollback(t)
	bubble(t, func(t *testing.T) {
		repository := newRepository(t, storage.NewMemory())
		m := newMember(before[0])
		once(t, repository, m)
		m.tail, m.batch = -1, 100
		m.entries, m.majority = before, optime(before[0])
		looks := 0
		m.looked = func(m *member) {
			if looks++; looks == 2 { // the first look is that of Once for its end
				m.entries, m.majority, m.looked = after, optime(after[len(after)-1]), nil
				m.life++
			}
		}
		a := archiver(repository, m)
		if _, err := a.CatchUp(t.Context(), optime(after[len(after)-1]).TS); err != nil {
			t.Fatal(err)
		}
		_, entries := lines(t, repository)
		mustEqual(t, entries, after)
	})
}

// rollback gives the oplog of one member before and after it rolled back, from the entry on that both have.
func rollback(t *testing.T) (before, after []bson.Raw) {
	t.Helper()
	for line := range recording.Lines(t, filepath.Join(recording.Folder(t), "replica", "replica.jsonl.zst")) {
		note := line.Text(t, "note")
		if note != "its oplog with what will be lost" && note != "oplog of the member that rolled back" {
			continue
		}
		batch, err := line.Document(t, "reply").Lookup("cursor", "firstBatch").Array().Values()
		if err != nil {
			t.Fatal(err)
		}
		var entries []bson.Raw
		for _, value := range batch {
			entries = append(entries, value.Document())
		}
		if before == nil {
			before = entries
		} else {
			after = entries
		}
	}
	if len(before) < 3 || len(after) < 3 || !bytes.Equal(before[0], after[0]) {
		t.Fatal("the recording does not have the two histories")
	}
	return before, after
}

// Entries that were archived and rolled back all the same (forced): archiving stops, and goes on only on a branch of its own,
// which begins where the histories part.
func TestCorpusArchiveAdoptsAnotherHistory(t *testing.T) {
	before, after := rollback(t)
	shared := 0
	for bytes.Equal(before[shared], after[shared]) {
		shared++
	}
	bubble(t, func(t *testing.T) {
		repository := newRepository(t, storage.NewMemory())
		m := newMember(before[0])
		once(t, repository, m)
		m.grow(before[1:]...)
		once(t, repository, m)
		m.entries = after
		if _, err := archiver(repository, m).Once(t.Context()); pitr.KindOf(err) != pitr.KindConflict {
			t.Fatalf("went on: %v", err)
		}
		time.Sleep(time.Second)
		branch, err := adopt(t, repository, m)
		if err != nil {
			t.Fatal(err)
		}
		if branch.Fork == nil || branch.Fork.At != optime(after[shared-1]) {
			t.Fatalf("fork %+v, want %v", branch.Fork, optime(after[shared-1]))
		}
		status := once(t, repository, m)
		if status.Branch != branch.ID || status.Through != optime(after[len(after)-1]) {
			t.Fatalf("status %+v", status)
		}
		once(t, repository, m) // and goes on there
		timeline, err := repository.Timeline(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		segments, err := repository.Segments(t.Context(), branch.ID, pitr.Window{Through: pitr.MaxTimestamp})
		if err != nil || len(segments) != 1 || segments[0].After != optime(after[shared]).TS.Before() {
			t.Errorf("the first segment of a branch begins just before its first entry: %+v, %v", segments, err)
		}
		want := []pitr.Window{{After: optime(after[0]).TS.Before(), Through: status.Through.TS}}
		if got := timeline.Windows(branch.ID); !slices.Equal(got, want) {
			t.Errorf("the history of the new branch covers %v, want %v", got, want)
		}
	})
}

func TestArchiveIsOfOneCluster(t *testing.T) {
	for name, c := range map[string]struct {
		change func(s *pitr.Server)
		kind   pitr.Kind
	}{
		"another set id":          {func(s *pitr.Server) { s.SetID = "68f8a1b2c3d4e5f6a7b8c9ff" }, pitr.KindConflict},
		"another set":             {func(s *pitr.Server) { s.Set = "rs1" }, pitr.KindConflict},
		"a clone":                 {func(s *pitr.Server) { s.Hosts, s.Member = []string{"x:27017"}, "x:27017" }, pitr.KindConflict},
		"one member replaced":     {func(s *pitr.Server) { s.Hosts, s.Member = []string{"b:27017", "x:27017"}, "x:27017" }, ""},
		"a set id nobody can see": {func(s *pitr.Server) { s.SetID = "" }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				repository := newRepository(t, storage.NewMemory())
				m := newMember(inserts(t, 1, "us", 10)...)
				once(t, repository, m)
				c.change(&m.server)
				m.grow(insert(t, 11, 1, "us"))
				if _, err := archiver(repository, m).Once(t.Context()); pitr.KindOf(err) != c.kind || c.kind == "" && err != nil {
					t.Errorf("error %v, want kind %q", err, c.kind)
				}
				// A job that finds the archive far enough is not told so by another cluster's.
				if _, err := archiver(repository, m).CatchUp(t.Context(), 10); pitr.KindOf(err) != c.kind || c.kind == "" && err != nil {
					t.Errorf("catch up: error %v, want kind %q", err, c.kind)
				}
			})
		})
	}
}

// A clone that joined perfectly, on hosts that are known: the entry at the moment tells.
func TestCatchUpComparesTheEntryOfTheMoment(t *testing.T) {
	bubble(t, func(t *testing.T) {
		repository := newRepository(t, storage.NewMemory())
		m := newMember(inserts(t, 1, "us", 10, 11, 12)...)
		once(t, repository, m)
		m.entries = append(inserts(t, 1, "us", 10, 11), insert(t, 12, 1, "the clone"))
		if _, err := archiver(repository, m).CatchUp(t.Context(), 12); pitr.KindOf(err) != pitr.KindConflict {
			t.Errorf("caught up with another history: %v", err)
		}
	})
}

// A job that needs the archive somewhere waits for the archiver that is alive, and takes over when none is.
func TestCatchUpWithAnArchiverAndWithout(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := storage.NewMemory()
		repository := newRepository(t, store)
		m := newMember(inserts(t, 1, "us", 10, 11, 12)...)
		m.tail = 0
		branch, err := archiver(repository, m).CatchUp(t.Context(), 12)
		if err != nil || branch == "" {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- archiver(newRepository(t, store), m).Follow(ctx) }()
		time.Sleep(time.Minute)
		m.grow(inserts(t, 1, "us", 13, 14)...)
		start := time.Now()
		if again, err := archiver(repository, m).CatchUp(t.Context(), 14); err != nil || again != branch {
			t.Fatalf("branch %s, error %v", again, err)
		}
		if took := time.Since(start); took > 15*time.Second {
			t.Errorf("waited %s for an archiver that cuts every 10 s", took)
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		m.grow(insert(t, 15, 1, "us"))
		start = time.Now()
		if _, err := archiver(repository, m).CatchUp(t.Context(), 15); err != nil || time.Since(start) > 5*time.Second {
			t.Fatalf("alone again, after %s: %v", time.Since(start), err)
		}
	})
}

// case D08: what nobody understands is archived as it is, counted, and never in the way.
func TestArchiveKeepsWhatItDoesNotUnderstand(t *testing.T) {
	bubble(t, func(t *testing.T) {
		repository := newRepository(t, storage.NewMemory())
		entry := func(at pitr.Timestamp, d bson.D) bson.Raw {
			raw, err := bson.Marshal(append(d, bson.E{Key: "ts", Value: at.BSON()}, bson.E{Key: "t", Value: int64(1)}, bson.E{Key: "v", Value: int64(2)}))
			if err != nil {
				t.Fatal(err)
			}
			return raw
		}
		all := []bson.Raw{insert(t, 10, 1, "us"),
			entry(11, bson.D{{Key: "op", Value: "zz"}, {Key: "ns", Value: "shop.orders"}, {Key: "o", Value: bson.D{}}}),
			entry(12, bson.D{{Key: "op", Value: "c"}, {Key: "ns", Value: "shop.$cmd"}, {Key: "o", Value: bson.D{{Key: "beNew", Value: 1}}}}),
			entry(13, bson.D{{Key: "nothing", Value: "of an entry"}}),
			entry(14, bson.D{{Key: "op", Value: "c"}, {Key: "ns", Value: "shop.$cmd"}, {Key: "o", Value: bson.D{{Key: "convertToCapped", Value: "orders"}, {Key: "size", Value: 5}}}}),
			entry(15, bson.D{{Key: "op", Value: "a\x00b"}, {Key: "ns", Value: "x\x00.y"}, {Key: "o", Value: bson.D{}}}),
			insert(t, 16, 1, "us")}
		m := newMember(all[0])
		once(t, repository, m)
		m.grow(all[1:]...)
		once(t, repository, m)
		m.grow(insert(t, 17, 1, "us"))
		once(t, repository, m) // a run can begin behind it
		_, entries := lines(t, repository)
		mustEqual(t, entries, append(all, insert(t, 17, 1, "us")))
		timeline, err := repository.Timeline(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		unknown := map[string]int64{}
		for _, segment := range timeline.Lines[0].Segments {
			_, facts, err := repository.OpenSegment(t.Context(), timeline.Tip(), segment)
			if err != nil {
				t.Fatal(err)
			}
			for words, n := range facts.Unknown {
				unknown[words] += n
			}
			for frame, touched := range facts.Touched {
				if segment.Through == 16 && len(touched) != 0 {
					t.Errorf("frame %d claims to know what it touches", frame)
				}
			}
		}
		for _, words := range []string{"zz shop.orders", "beNew shop.$cmd", "convertToCapped shop.orders"} {
			if unknown[words] != 1 {
				t.Errorf("unknown %v lack %q", unknown, words)
			}
		}
		if len(unknown) != 5 {
			t.Errorf("unknown %v", unknown)
		}
	})
}

// A majority point that stands still holds everything back, and does not fill the memory.
func TestArchiveStopsReadingWhileTheMajorityStands(t *testing.T) {
	bubble(t, func(t *testing.T) {
		repository := newRepository(t, storage.NewMemory())
		m := newMember(insert(t, 10, 1, "us"))
		once(t, repository, m)
		m.tail, m.majority = -1, pitr.OpTime{TS: 10, Term: 1}
		for i := range 200 {
			m.grow(insert(t, pitr.Timestamp(11+i), 1, strings.Repeat("x", 1<<20)))
		}
		replies := 0
		counting := &countingSource{member: m, replies: &replies}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		var waiting atomic.Value
		go func() {
			done <- oplog.NewArchiver(counting, repository, oplog.ArchiveOptions{
				Report: func(s oplog.ArchiveStatus) { waiting.Store(s.Waiting) }}).Follow(ctx)
		}()
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if read := replies * 3; read < 60 || read > 80 {
			t.Errorf("%d entries of 1 MiB were read", read)
		}
		if text, _ := waiting.Load().(string); !strings.Contains(text, "majority") {
			t.Errorf("waits for %q", text)
		}
		_, entries := lines(t, repository)
		if len(entries) != 1 {
			t.Errorf("%d entries are archived", len(entries))
		}
		m.mu.Lock()
		m.tail = 0
		m.mu.Unlock()
		time.Sleep(time.Minute)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if _, entries := lines(t, repository); len(entries) != 201 {
			t.Errorf("%d entries are archived", len(entries))
		}
	})
}

type countingSource struct {
	*member
	replies *int
}

func (c *countingSource) Oplog(ctx context.Context, from pitr.Timestamp) iter.Seq2[pitr.Batch, error] {
	return func(yield func(pitr.Batch, error) bool) {
		for batch, err := range c.member.Oplog(ctx, from) {
			if len(batch.Array) > 5 {
				*c.replies++
			}
			if !yield(batch, err) {
				return
			}
		}
	}
}

// case L02: an archiver whose lease is lost puts nothing more.
func TestArchiveStopsWithItsLease(t *testing.T) {
	bubble(t, func(t *testing.T) {
		repository := newRepository(t, storage.NewMemory())
		m := newMember(insert(t, 10, 1, "us"))
		once(t, repository, m)
		done := make(chan error, 1)
		go func() { done <- archiver(repository, m).Follow(t.Context()) }()
		time.Sleep(30 * time.Second)
		if err := repository.BreakLease(t.Context(), catalog.LeaseArchive, "test", "me"); err != nil {
			t.Fatal(err)
		}
		if err := <-done; pitr.KindOf(err) != pitr.KindLocked {
			t.Errorf("ended with %v", err)
		}
	})
}
