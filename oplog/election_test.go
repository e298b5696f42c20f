package oplog_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"pitr"
	"pitr/oplog"
	"pitr/storage"
)

// An archiver that is further behind than it keeps in memory gets over an election all the same.
func TestArchiveFarBehindGetsOverAnElection(t *testing.T) {
	for name, late := range map[string]bool{"before it began": false, "while it reads": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				repository := newRepository(t, storage.NewMemory())
				m := newMember(insert(t, 10, 1, "us"))
				once(t, repository, m)
				m.batch = 10
				large := strings.Repeat("x", 2<<20)
				for i := range 100 {
					m.entries = append(m.entries, insert(t, pitr.Timestamp(11+i), 1, large))
				}
				second := insert(t, 200, 2, "us")
				if late {
					m.tail, m.majority = -1, optime(m.entries[0])
					looks := 0
					m.looked = func(m *member) {
						if looks++; looks == 5 {
							m.entries, m.majority = append(m.entries, second), optime(second)
						}
					}
				} else {
					m.entries, m.tail = append(m.entries, second), 0
				}
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- oplog.NewArchiver(m, repository, oplog.ArchiveOptions{}).Follow(ctx) }()
				time.Sleep(10 * time.Minute)
				cancel()
				if err := <-done; err != nil {
					t.Fatal(err)
				}
				_, entries := lines(t, repository)
				mustEqual(t, entries, m.entries)
			})
		})
	}
}

// A cursor that survives a rollback, because the new history has an entry at the very time where it stood, and goes on in the
// new history. What was read before is not taken for a part of it.
func TestCorpusArchiveDoesNotTrustACursorThroughARollback(t *testing.T) {
	before, after := rollback(t)
	bubble(t, func(t *testing.T) {
		repository := newRepository(t, storage.NewMemory())
		m := newMember(before[0])
		once(t, repository, m)
		m.tail, m.batch, m.entries, m.majority = -1, 1, before, optime(before[0])
		shared := 0
		for optime(before[shared]) == optime(after[shared]) {
			shared++
		}
		for optime(before[len(before)-1]).TS >= optime(after[len(after)-1]).TS {
			before = before[:len(before)-1] // the new history has something behind it
		}
		m.entries = before
		if len(before) <= shared {
			t.Fatal("nothing of the old history is left")
		}
		looks := 0
		m.looked = func(m *member) {
			if looks++; looks > len(before)+2 {
				m.entries, m.majority, m.looked = after, optime(after[len(after)-1]), nil // no cursor dies
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- archiver(repository, m).Follow(ctx) }()
		time.Sleep(10 * time.Minute)
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		_, entries := lines(t, repository)
		mustEqual(t, entries, after)
	})
}
