package verify_test

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"testing"

	"pitr"
	"pitr/catalog"
	"pitr/catalog/verify"
	"pitr/format"
	"pitr/storage"
)

// The repository in testdata/v1 was written when format 1 was fixed, by this test with PITR_GOLDEN=write. Every later pitr
// reads it and finds it sound. case I21
const golden = "testdata/v1"

func TestTheGoldenRepositoryIsReadForEver(t *testing.T) {
	if os.Getenv("PITR_GOLDEN") == "write" {
		folder, err := storage.CreateFolder(golden, storage.FolderOptions{Sync: func(*os.File) error { return nil }})
		if err != nil {
			t.Fatal(err)
		}
		names, data := contents(t, small(t))
		for _, name := range names {
			if err := folder.Create(t.Context(), name, data[name]); err != nil && !errors.Is(err, storage.ErrExists) {
				t.Fatal(err)
			}
		}
	}
	folder, err := storage.OpenFolder(golden, storage.FolderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	repository, err := catalog.Open(t.Context(), storage.ReadOnly(folder), catalog.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	findings, err := found(t, repository, content)
	mustFind(t, findings, err, verify.Hole, "rolled over")
	readGolden(t, repository)
	// Today's writer makes the same JSON and keys; containers depend on the compressor.
	names, data := contents(t, small(t))
	goldenNames, goldenData := contents(t, folder)
	if !slices.Equal(names, goldenNames) {
		t.Fatalf("objects %v, in the golden repository %v", names, goldenNames)
	}
	for _, name := range names {
		parsed, err := format.ParseName(name)
		if err != nil {
			t.Fatal(err)
		}
		if holds := parsed.Kind().IsContainer() || parsed.Kind() == format.KindManifest || parsed.Kind() == format.KindChanges; !holds && !bytes.Equal(data[name], goldenData[name]) {
			t.Errorf("%s is written as other bytes now", name)
		}
	}
}

// readGolden reads everything once more, the way jobs do.
func readGolden(t *testing.T, repository *catalog.Repository) {
	t.Helper()
	timeline, err := repository.Timeline(t.Context())
	if err != nil || len(timeline.Damaged) > 0 {
		t.Fatalf("damaged %v, %v", timeline.Damaged, err)
	}
	second := func(ordinal uint32) pitr.Timestamp { return pitr.NewTimestamp(1761123600, ordinal) }
	for moment, reachable := range map[pitr.Timestamp]bool{second(1): false, second(2): true, second(3): true, second(4): true,
		second(5): false, second(9): false} {
		if _, err := timeline.Reach(moment, pitr.Scope{}); (err == nil) != reachable {
			t.Errorf("moment %s: %v", moment, err)
		}
	}
	route, err := timeline.Reach(second(4), pitr.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	entries := 0
	for _, err := range repository.Entries(t.Context(), route.Windows...) {
		if err != nil {
			t.Fatal(err)
		}
		entries++
	}
	snapshots, err := repository.Snapshots(t.Context())
	if err != nil || len(snapshots.Items) != 2 {
		t.Fatalf("snapshots %v, %v", snapshots, err)
	}
	for _, manifest := range snapshots.Items {
		if _, err := repository.Parts(t.Context(), manifest); err != nil {
			t.Error(err)
		}
	}
	mark, err := repository.ResolveMark(t.Context(), "before v4.1.0")
	if err != nil || mark.At != second(2) {
		t.Errorf("mark %+v, %v", mark, err)
	}
	jobs, err := repository.Jobs(t.Context())
	if err != nil || len(jobs) != 1 || !jobs[0].Done() || len(jobs[0].Steps) != 2 {
		t.Fatalf("jobs %+v, %v", jobs, err)
	}
	changes := 0
	for document, err := range repository.ChangeDocuments(t.Context(), *jobs[0].Changes) {
		if err != nil {
			t.Fatal(err)
		}
		if !format.IsCatalogStep(document) {
			if change, err := format.DecodeChange(document); err != nil || change.Class != pitr.ClassCreated {
				t.Errorf("change %+v, %v", change, err)
			}
		}
		changes++
	}
	if entries != 2 || changes != 2 {
		t.Errorf("%d entries, %d changes", entries, changes)
	}
	lease, err := repository.ShowLease(t.Context(), catalog.LeaseArchive)
	if err != nil || lease.Held() || lease.Owner() != "op@host" {
		t.Errorf("lease %+v, %v", lease, err)
	}
}
