package oplog_test

import (
	"context"
	"math/rand"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/catalog"
	"pitr/catalog/verify"
	"pitr/format"
	"pitr/oplog"
	"pitr/storage"
)

// hours archives entries of several hours in small segments, and gives them.
func hours(t *testing.T, repository *catalog.Repository, random *rand.Rand) []bson.Raw {
	t.Helper()
	var all []bson.Raw
	m := newMember()
	for second := uint32(3500); second < 5*3600; second += uint32(1 + random.Intn(400)) {
		for ordinal := range uint32(1 + random.Intn(3)) {
			all = append(all, insert(t, pitr.NewTimestamp(second, ordinal+1), 1, strings.Repeat("x", random.Intn(500))))
		}
		if len(all) == 0 || random.Intn(2) == 0 {
			continue
		}
		m.entries = all
		once(t, repository, m)
	}
	m.entries = all
	once(t, repository, m)
	_, archived := lines(t, repository)
	return archived
}

func segmentsOf(t *testing.T, repository *catalog.Repository) (format.ID, []catalog.Segment) {
	t.Helper()
	timeline, err := repository.Timeline(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return timeline.Tip(), timeline.Lines[0].Segments
}

// A merge changes nothing that a reader sees, neither before the small segments are removed nor after, nor half-way.
func TestMergeKeepsEveryEntry(t *testing.T) {
	for seed := range int64(8) {
		bubble(t, func(t *testing.T) {
			store := storage.NewMemory()
			repository := newRepository(t, store)
			all := hours(t, repository, rand.New(rand.NewSource(seed)))
			branch, small := segmentsOf(t, repository)
			status, err := oplog.Merge(t.Context(), repository, branch, oplog.MergeOptions{})
			if err != nil || status.Merged < 2 || status.Segments < 2*status.Merged {
				t.Fatalf("%+v, %v", status, err)
			}
			if again, err := oplog.Merge(t.Context(), repository, branch, oplog.MergeOptions{}); err != nil || again != (oplog.MergeStatus{}) {
				t.Fatalf("a second merge did %+v, %v", again, err)
			}
			_, both := segmentsOf(t, repository)
			redundant := catalog.Redundant(both)
			if len(both) != len(small)+int(status.Merged) || len(redundant) != int(status.Segments) {
				t.Fatalf("%d segments, %d before, %d of them superfluous, merged %+v", len(both), len(small), len(redundant), status)
			}
			for i := 0; ; i++ {
				_, entries := lines(t, repository)
				mustEqual(t, entries, all)
				if i%10 == 0 || i == len(redundant) {
					for finding, err := range verify.Run(t.Context(), repository, verify.Options{Level: verify.LevelContent}) {
						t.Fatalf("after %d were removed: %v %v", i, finding, err)
					}
					checkFacts(t, repository, all)
				}
				if i == len(redundant) {
					break
				}
				name, err := redundant[i].Name(branch)
				if err != nil {
					t.Fatal(err)
				}
				if err := repository.Delete(t.Context(), name); err != nil {
					t.Fatal(err)
				}
			}
			// The archive goes on behind it.
			m := newMember(append(slices.Clone(all), insert(t, pitr.NewTimestamp(9*3600, 1), 1, "later"))...)
			once(t, repository, m)
			windows, entries := lines(t, repository)
			if len(windows) != 1 {
				t.Errorf("the archive is in pieces: %v", windows)
			}
			mustEqual(t, entries, m.entries)
		})
	}
}

// An hour with more than fits into one object becomes several, cut where a small segment ends.
func TestMergeCutsAtTheLargestObject(t *testing.T) {
	if testing.Short() {
		t.Skip("an hour of 150 MiB")
	}
	bubble(t, func(t *testing.T) {
		repository := newRepository(t, storage.NewMemory())
		random := rand.New(rand.NewSource(1))
		noise := make([]byte, 9<<20)
		m := newMember(insert(t, pitr.NewTimestamp(1, 1), 1, ""))
		for i := range uint32(16) {
			once(t, repository, m)
			random.Read(noise)
			m.grow(insert(t, pitr.NewTimestamp(60+i, 1), 1, string(noise)))
		}
		m.grow(insert(t, pitr.NewTimestamp(3*3600, 1), 1, ""))
		once(t, repository, m)
		branch, small := segmentsOf(t, repository)
		status, err := oplog.Merge(t.Context(), repository, branch, oplog.MergeOptions{})
		if err != nil || status.Merged != 3 || len(small) < 10 {
			t.Fatalf("%+v of %d segments, %v", status, len(small), err)
		}
		_, entries := lines(t, repository)
		mustEqual(t, entries, m.entries)
		_, both := segmentsOf(t, repository)
		for _, merged := range catalog.MergedSegments(both) {
			if merged.Long.Size > format.MaxObject || !merged.Whole {
				t.Errorf("%+v", merged.Long)
			}
		}
	})
}

// An archiver that follows merges by itself, and its own archive stays one piece.
func TestFollowMergesWhatIsAnHourOld(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := storage.NewMemory()
		repository := newRepository(t, store)
		at := func() pitr.Timestamp { return pitr.NewTimestamp(uint32(time.Now().Unix()), 1) }
		m := newMember(insert(t, at(), 1, "us"))
		once(t, repository, m)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		turns := 0
		go func() {
			done <- oplog.NewArchiver(m, newRepository(t, store), oplog.ArchiveOptions{Alive: func(oplog.ArchiveStatus) { turns++ }}).Follow(ctx)
		}()
		for range 5 * 12 {
			time.Sleep(5 * time.Minute)
			m.grow(insert(t, at(), 1, "us"))
		}
		time.Sleep(11 * time.Minute)
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		_, both := segmentsOf(t, repository)
		if merged := catalog.MergedSegments(both); len(merged) < 3 || !merged[1].Whole || len(merged[1].Short) != 12 {
			t.Errorf("%d long segments of %d", len(merged), len(both))
		}
		if turns < 5*60 {
			t.Errorf("only %d signs of life in five hours", turns)
		}
		windows, entries := lines(t, repository)
		if len(windows) != 1 {
			t.Errorf("the archive is in pieces: %v", windows)
		}
		mustEqual(t, entries, m.entries)
	})
}
