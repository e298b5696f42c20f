package oplog_test

import (
	"testing"

	"pitr"
	"pitr/storage"
	"pitr/storage/storagetest"
)

// A segment counts as archived only when the store gives it back as it was put. // case I12
func TestArchiveReadsBackWhatItPuts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := storagetest.Faulty(t, storage.NewMemory(),
			storagetest.Fault{Op: storagetest.Read, Name: "oplog/*/*/*.bson.zst", Effect: storagetest.Flip(-20)})
		repository := newRepository(t, store)
		m := newMember(inserts(t, 1, "us", 10, 11, 12)...)
		m.tail = 0
		status, err := archiver(repository, m).Once(t.Context())
		if pitr.KindOf(err) != pitr.KindCorrupt || status.Entries != 0 {
			t.Errorf("archived %d entries: %v", status.Entries, err)
		}
	})
}
