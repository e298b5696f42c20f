package restore_test

import (
	"testing"

	"pitr"
	"pitr/catalog"
	"pitr/restore"
	"pitr/storage/storagetest"
)

// Nothing is written that a change set tells of which the store does not give back as it was published: it is the only
// undo record. // case I12
func TestNoWriteUnlessTheChangeSetReadsBack(t *testing.T) {
	for _, object := range []string{"jobs/*/intent.json", "jobs/*/changes-*", "jobs/*/changes.json"} {
		for name, fault := range map[string]storagetest.Fault{
			"a part":  {Op: storagetest.Create, Effect: storagetest.Truncate(40)},
			"nothing": {Op: storagetest.Create, Effect: storagetest.Pretend()},
			// The store says that all is well, and only a look at the bytes shows that it is not.
			"other bytes": {Op: storagetest.Read, Effect: storagetest.Flip(-20), Times: storagetest.Always},
		} {
			fault.Name = object
			t.Run(object+" keeps "+name, func(t *testing.T) {
				w, at := incident(t)
				w.t = t
				deps := w.deps(&life{})
				store := storagetest.Faulty(t, w.store, fault)
				var err error
				deps.Repository, err = catalog.Open(t.Context(), store, catalog.OpenOptions{})
				w.must(err)
				intent, err := restore.Plan(t.Context(), deps, restore.Request{To: at})
				w.must(err)
				confirmed, err := intent.Confirm("devices-eu")
				w.must(err)
				damaged := capture(w.cluster)
				_, err = restore.Run(t.Context(), deps, intent, confirmed)
				if kind := pitr.KindOf(err); kind != pitr.KindCorrupt && kind != pitr.KindNotFound {
					t.Errorf("run: %v", err)
				}
				w.untouched(damaged)
			})
		}
	}
}
