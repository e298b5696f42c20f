package snapshot_test

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/catalog"
	"pitr/format"
	"pitr/snapshot"
	"pitr/storage"
)

// fake is a source without a server: documents that do not change, and scans that break off where a script says so. What a
// real server does while documents change is tested on mongotest.
type fake struct {
	server      pitr.Server
	clock       pitr.Timestamp
	open        pitr.OpTime
	collections []pitr.Collection
	documents   map[string][]bson.Raw
	batch       int
	// breaks are, per collection, what ends its scans one after the other: after so many documents, with this error.
	breaks map[string][]interruption
	scans  []pitr.Range
	// afterScan is called, under mu, at the end of each scan that was not broken off.
	afterScan func()
	mu        sync.Mutex
}

type interruption struct {
	after int
	err   error
}

func (f *fake) Server() pitr.Server { return f.server }

func (f *fake) Listing(_ context.Context, scope pitr.Scope) ([]pitr.Collection, error) {
	var listed []pitr.Collection
	for _, c := range f.collections {
		if scope.Contains(c.NS) {
			listed = append(listed, c)
		}
	}
	return listed, nil
}

func (f *fake) Estimate(_ context.Context, ns pitr.Namespace) (amount pitr.Amount, err error) {
	for _, document := range f.documents[ns.String()] {
		amount.Count++
		amount.Bytes += int64(len(document))
	}
	return amount, nil
}

func (f *fake) Scan(_ context.Context, r pitr.Range) iter.Seq2[pitr.Batch, error] {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.scans = append(f.scans, r)
	name := r.Collection.NS.String()
	documents := f.documents[name]
	at := 0
	if r.Resume != nil {
		at = int(r.Resume.Lookup("at").Int32())
	}
	var stop *interruption
	if script := f.breaks[name]; len(script) > 0 {
		stop, f.breaks[name] = &script[0], script[1:]
	}
	return func(yield func(pitr.Batch, error) bool) {
		for given := 0; ; {
			if stop != nil && given >= stop.after {
				yield(pitr.Batch{}, stop.err)
				return
			}
			if at == len(documents) {
				f.mu.Lock()
				defer f.mu.Unlock()
				if f.afterScan != nil {
					f.afterScan()
				}
				return
			}
			n := min(f.batch, len(documents)-at)
			array := bson.A{}
			for _, document := range documents[at : at+n] {
				array = append(array, document)
			}
			at, given = at+n, given+n
			_, content, err := bson.MarshalValue(array)
			if err != nil {
				yield(pitr.Batch{}, err)
				return
			}
			batch := pitr.Batch{Array: content, At: r.At}
			if f.server.Ability == pitr.AbilityFull {
				batch.Resume = raw(bson.D{{Key: "at", Value: int32(at)}})
			}
			if !yield(batch, nil) {
				return
			}
		}
	}
}

func (f *fake) MajorityOpTime(context.Context) (pitr.OpTime, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return pitr.OpTime{TS: f.clock, Term: 1}, nil
}

func (f *fake) OplogBounds(context.Context) (oldest, newest pitr.OpTime, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return pitr.OpTime{TS: 1, Term: 1}, pitr.OpTime{TS: f.clock, Term: 1}, nil
}

func (f *fake) OldestOpenTransaction(context.Context, pitr.Timestamp) (pitr.OpTime, error) {
	return f.open, nil
}

// archive writes no-op entries, one for each tick of the fake's clock, as an archiver would.
type archive struct {
	t          testing.TB
	repository *catalog.Repository
	branch     format.ID
	last       pitr.Timestamp
	lastEntry  bson.Raw
	// skip leaves the entries of a window out.
	skip pitr.Window
}

func entryAt(at pitr.Timestamp) bson.Raw {
	return raw(bson.D{{Key: "op", Value: "n"}, {Key: "ns", Value: ""}, {Key: "o", Value: bson.D{}}, {Key: "ts", Value: at.BSON()}, {Key: "t", Value: int64(1)}})
}

func (a *archive) CatchUp(ctx context.Context, through pitr.Timestamp) (format.ID, error) {
	if a.branch == "" {
		a.branch, _ = a.repository.NewID()
		if err := a.repository.PutBranch(ctx, format.Branch{ID: a.branch, Created: time.Now().UTC(), Set: "rs0", Hosts: []string{"h:1"}}); err != nil {
			return "", err
		}
	}
	for a.last < through {
		if a.skip.Contains(a.last + 1) {
			a.last, a.lastEntry = a.skip.Through, nil
			continue
		}
		end := min(through, a.last+100)
		if a.last < a.skip.After {
			end = min(end, a.skip.After)
		}
		if err := a.segment(ctx, end); err != nil {
			return "", err
		}
	}
	return a.branch, nil
}

func (a *archive) segment(ctx context.Context, through pitr.Timestamp) error {
	writer, err := format.NewWriter(format.WriterOptions{})
	if err != nil {
		return err
	}
	facts := format.SegmentFacts{Branch: a.branch, Window: pitr.Window{After: a.last, Through: through},
		First: pitr.OpTime{TS: a.last + 1, Term: 1}, Majority: pitr.OpTime{TS: through, Term: 1}, Member: "h:1"}
	if a.lastEntry != nil {
		facts.Prev = format.EntryMark{OpTime: pitr.OpTime{TS: a.last, Term: 1}, Digest: format.Sum(a.lastEntry)}
	}
	for at := a.last + 1; at <= through; at++ {
		a.lastEntry = entryAt(at)
		if _, err := writer.Append(0, a.lastEntry); err != nil {
			return err
		}
		facts.Entries++
	}
	a.last = through
	facts.Last = format.EntryMark{OpTime: pitr.OpTime{TS: through, Term: 1}, Digest: format.Sum(a.lastEntry)}
	name, err := facts.SegmentName()
	if err != nil {
		return err
	}
	sealed, err := writer.Finish(name, facts.BSON())
	if err != nil {
		return err
	}
	return a.repository.Put(ctx, sealed.Name, sealed.Data)
}

func raw(document any) bson.Raw {
	content, err := bson.Marshal(document)
	if err != nil {
		panic(err)
	}
	return content
}

// newFake makes a source with a few collections: many documents, few, none, and a view.
func newFake() *fake {
	f := &fake{clock: 1000, batch: 700, documents: map[string][]bson.Raw{}, breaks: map[string][]interruption{},
		server: pitr.Server{Ability: pitr.AbilityFull, Set: "rs0", Member: "h:1", Hosts: []string{"h:1"}, Version: "7.0.1"}}
	for i, name := range []string{"a.big", "a.few", "a.none", "b.few"} {
		ns, _ := pitr.ParseNamespace(name)
		f.collections = append(f.collections, pitr.Collection{NS: ns, UUID: pitr.UUID{byte(i + 1)}, Type: pitr.TypeCollection,
			Options: raw(bson.D{{Key: "n", Value: i}}), Indexes: []bson.Raw{raw(bson.D{{Key: "v", Value: 2}, {Key: "name", Value: "_id_"}})}})
	}
	f.collections = append(f.collections, pitr.Collection{NS: pitr.Namespace{DB: "b", Collection: "view"}, Type: pitr.TypeView,
		Options: raw(bson.D{{Key: "viewOn", Value: "few"}, {Key: "pipeline", Value: bson.A{}}})})
	for i := range 9000 {
		f.documents["a.big"] = append(f.documents["a.big"], raw(bson.D{{Key: "_id", Value: i},
			{Key: "pad", Value: bytes.Repeat([]byte{byte(i), byte(i >> 3), byte(i * 7)}, 250)}, {Key: "n", Value: fmt.Sprint(i * i)}}))
	}
	for i := range 40 {
		f.documents["a.few"] = append(f.documents["a.few"], raw(bson.D{{Key: "_id", Value: fmt.Sprint("few", i)}}))
		f.documents["b.few"] = append(f.documents["b.few"], raw(bson.D{{Key: "_id", Value: int64(i)}, {Key: "x", Value: i}}))
	}
	return f
}

func newRepository(t testing.TB, store storage.Store) *catalog.Repository {
	t.Helper()
	repository, err := catalog.Create(t.Context(), store, catalog.CreateOptions{ClusterName: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return repository
}

func optionsFor(t testing.TB, repository *catalog.Repository) snapshot.Options {
	return snapshot.Options{Archive: &archive{t: t, repository: repository}, Reason: format.ReasonManual,
		Operator: "me@here", Version: "test", WorkFolder: t.TempDir(),
		Lease: catalog.LeaseOptions{Holder: "me@here", Host: "here", Process: 1}}
}
