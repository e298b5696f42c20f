package oplog_test

import (
	"bytes"
	"path/filepath"
	"slices"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/catalog"
	"pitr/internal/recording"
	"pitr/oplog"
	"pitr/storage"
)

// What comes out of the archive is what a real server wrote, for windows that begin and end anywhere. case D05
func TestCorpusReadGivesBackWhatWasArchived(t *testing.T) {
	all := slices.Collect(recording.Documents(t, filepath.Join(recording.Folder(t), "history", "1", "oplog.jsonl.zst")))
	repository := newRepository(t, storage.NewMemory())
	m := newMember(all[0])
	branch := once(t, repository, m).Branch
	for next := 1; next < len(all); next += 450 { // segments of 450 entries
		m.grow(all[next:min(len(all), next+450)]...)
		once(t, repository, m)
	}
	for _, edges := range [][2]int{{0, 1}, {0, len(all) - 1}, {1, 449}, {449, 450}, {450, 451}, {450, 900}, {451, 1350}, {1234, 2345}, {len(all) - 2, len(all) - 1}, {7, 7}} {
		window := pitr.Window{After: optime(all[edges[0]]).TS, Through: optime(all[edges[1]]).TS}
		var got []bson.Raw
		for entry, err := range oplog.Read(t.Context(), repository, catalog.BranchWindow{Branch: branch, Window: window}) {
			if err != nil {
				t.Fatal(err)
			}
			if entry.OpTime != optime(entry.Raw) {
				t.Fatalf("decoded %s of %s", entry.OpTime, optime(entry.Raw))
			}
			got = append(got, entry.Raw)
		}
		mustEqual(t, got, all[edges[0]+1:edges[1]+1])
	}
	// One moment before the first archived entry nothing is known.
	early := catalog.BranchWindow{Branch: branch, Window: pitr.Window{After: optime(all[0]).TS - 2, Through: optime(all[5]).TS}}
	for _, err := range oplog.Read(t.Context(), repository, early) {
		if pitr.KindOf(err) != pitr.KindHole || pitr.HintOf(err) == "" {
			t.Fatalf("read what is not there: %v", err)
		}
	}
}

// An entry that pitr does not know comes with its error and its bytes, and the consumer decides.
func TestReadHandsOverWhatItDoesNotKnow(t *testing.T) {
	repository := newRepository(t, storage.NewMemory())
	strange, err := bson.Marshal(bson.D{{Key: "op", Value: "zz"}, {Key: "ns", Value: "shop.orders"}, {Key: "o", Value: bson.D{}},
		{Key: "ts", Value: pitr.Timestamp(11).BSON()}, {Key: "t", Value: int64(1)}, {Key: "v", Value: int64(2)}})
	if err != nil {
		t.Fatal(err)
	}
	m := newMember(insert(t, 10, 1, "us"))
	branch := once(t, repository, m).Branch
	m.grow(strange, insert(t, 12, 1, "us"))
	once(t, repository, m)
	var kinds []pitr.Kind
	for entry, err := range oplog.Read(t.Context(), repository, catalog.BranchWindow{Branch: branch, Window: pitr.Window{After: 9, Through: 12}}) {
		kinds = append(kinds, pitr.KindOf(err))
		if err != nil && (!bytes.Equal(entry.Raw, strange) || entry.OpTime.TS != 11) {
			t.Errorf("the unknown entry came as %+v", entry)
		}
	}
	if !slices.Equal(kinds, []pitr.Kind{"", pitr.KindUnsupported, ""}) {
		t.Errorf("errors of kinds %q", kinds)
	}
}
