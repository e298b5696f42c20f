//go:build failpoint

package snapshot_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pitr"
	"pitr/catalog"
	"pitr/cluster"
	"pitr/internal/mongotest"
	"pitr/oplog"
	"pitr/snapshot"
	"pitr/storage"
)

const (
	childURI    = "PITR_SNAPSHOT_CHILD_URI"
	childFolder = "PITR_SNAPSHOT_CHILD_FOLDER"
)

// TestKilledChild is the process that is killed: it takes a snapshot when it is told where.
func TestKilledChild(t *testing.T) {
	if os.Getenv(childURI) == "" {
		t.Skip("it is the other process of TestKilledSnapshot")
	}
	takeInto(t, os.Getenv(childURI), os.Getenv(childFolder))
}

func takeInto(t *testing.T, uri, folder string) {
	t.Helper()
	store, err := storage.OpenFolder(folder, storage.FolderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	repository, err := catalog.Open(t.Context(), store, catalog.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	client, err := cluster.Connect(t.Context(), cluster.Options{URI: uri, Timeout: 10 * time.Second, Await: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close(context.Background())
	o := optionsFor(t, repository)
	o.Archive = oplog.NewArchiver(client, repository, oplog.ArchiveOptions{Lease: o.Lease})
	if _, err := snapshot.Take(t.Context(), client, repository, o); err != nil {
		t.Fatal(err)
	}
}

// TestKilledSnapshot kills a run at each of its places by SIGKILL: no snapshot can be seen, or a whole one; another run goes
// through. // case C01
func TestKilledSnapshot(t *testing.T) {
	instance := mongotest.Start(t, mongotest.Need{})
	fillFor(t, instance.URI)
	for place, whole := range map[string]bool{
		"snapshot.after-listing": false, "snapshot.after-object*1": false, "snapshot.after-object*2": false,
		"snapshot.before-catalog": false, "snapshot.before-manifest": false, "snapshot.after-manifest": true,
	} {
		t.Run(place, func(t *testing.T) {
			folder := filepath.Join(t.TempDir(), "repository")
			if err := os.Mkdir(folder, 0o700); err != nil {
				t.Fatal(err)
			}
			store, err := storage.OpenFolder(folder, storage.FolderOptions{})
			if err != nil {
				t.Fatal(err)
			}
			repository := newRepository(t, store)
			child := exec.Command(os.Args[0], "-test.run", "^TestKilledChild$")
			child.Env = append(os.Environ(), childURI+"="+instance.URI, childFolder+"="+folder, "PITR_FAILPOINT="+place)
			output, err := child.CombinedOutput()
			if err == nil || !strings.Contains(err.Error(), "killed") {
				t.Fatalf("it was not killed: %v\n%s", err, output)
			}
			seen := func() int {
				snapshots, err := repository.Snapshots(t.Context())
				if err != nil || len(snapshots.Damaged) != 0 {
					t.Fatalf("%+v, %v", snapshots, err)
				}
				for _, manifest := range snapshots.Items {
					reader, err := snapshot.Open(t.Context(), repository, manifest.ID)
					if err != nil {
						t.Fatal(err)
					}
					for _, c := range reader.Collections() {
						if err := reader.Check(t.Context(), c); err != nil {
							t.Error(err)
						}
					}
				}
				return len(snapshots.Items)
			}
			want := 0
			if whole {
				want = 1
			}
			if got := seen(); got != want {
				t.Errorf("%d snapshots can be seen, not %d", got, want)
			}
			// The dead run's leases would have to be waited for.
			if err := os.RemoveAll(filepath.Join(folder, "leases")); err != nil {
				t.Fatal(err)
			}
			takeInto(t, instance.URI, folder)
			if got := seen(); got != want+1 {
				t.Errorf("%d snapshots after another run", got)
			}
		})
	}
}

func fillFor(t *testing.T, uri string) {
	t.Helper()
	client, err := cluster.Connect(t.Context(), cluster.Options{URI: uri, Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close(context.Background())
	documents := newFake().documents
	for name, list := range documents {
		ns, _ := pitr.ParseNamespace(name)
		if err := client.Primary().Load(t.Context(), ns, list); err != nil {
			t.Fatal(err)
		}
	}
}
