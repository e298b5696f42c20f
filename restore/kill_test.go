//go:build failpoint

package restore_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pitr"
	"pitr/catalog"
	"pitr/format"
	"pitr/internal/mongotest"
	"pitr/oplog"
	"pitr/restore"
	"pitr/storage"
)

// places are the fail points of a rewind; *n is the n-th time that one is passed.
var places = []string{
	"restore.before-freeze", "restore.after-freeze", "restore.after-evidence-check", "restore.before-change-set",
	"restore.after-change-set", "restore.before-first-write", "guard.between-catalog-steps", "guard.between-catalog-steps*3",
	"guard.during-catalog-step", "guard.during-catalog-step*7", "guard.between-transactions",
	"guard.between-transactions*4", "guard.between-transactions*9", "restore.before-phase-record", "restore.before-phase-record*3",
	"restore.before-verify", "restore.before-unfreeze", "restore.before-result",
}

// TestChildRestores is the process that is killed: it makes a repository's intent come true.
func TestChildRestores(t *testing.T) {
	if os.Getenv("PITR_KILL_TO") == "" {
		t.Skip("it is run by TestKilledByTheSystem, in a process of its own")
	}
	to, err := pitr.ParseTimestamp(os.Getenv("PITR_KILL_TO"))
	if err != nil {
		t.Fatal(err)
	}
	s := childStage(t)
	if id := os.Getenv("PITR_KILL_UNDO"); id != "" {
		intent, err := restore.PlanUndo(t.Context(), s.deps(), format.ID(id))
		s.must(err)
		confirmed, err := intent.Confirm("devices-eu")
		s.must(err)
		_, err = restore.Run(t.Context(), s.deps(), intent, confirmed)
		s.must(err)
		return
	}
	deps := s.deps()
	deps.Limits.Writes = 20
	if !strings.HasSuffix(os.Getenv("PITR_FAILPOINT"), "*4") { // one place shows a transaction that stays open for its whole life
		deps.Workers = 1
	}
	intent, err := restore.Plan(t.Context(), deps, restore.Request{To: to})
	s.must(err)
	confirmed, err := intent.Confirm("devices-eu")
	s.must(err)
	_, err = restore.Run(t.Context(), deps, intent, confirmed)
	s.must(err)
}

// childStage connects to what the parent has set up.
func childStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{t: t}
	s.openAt(os.Getenv("PITR_KILL_STORE"))
	s.reading, s.writing = s.client(os.Getenv("PITR_KILL_READER")), s.client(os.Getenv("PITR_KILL_RESTORER"))
	s.archiver = oplog.NewArchiver(s.reading, s.repository, oplog.ArchiveOptions{})
	return s
}

func (s *stage) openAt(folder string) {
	s.t.Helper()
	var err error
	s.store, err = storage.OpenFolder(folder, storage.FolderOptions{})
	s.must(err)
	s.repository, err = catalog.Open(s.t.Context(), s.store, catalog.OpenOptions{})
	s.must(err)
}

// killStage is a stage whose repository other processes can open.
func killStage(t *testing.T) (*stage, string) {
	t.Helper()
	s := newStage(t, mongotest.Need{Users: logins})
	folder := t.TempDir()
	store, err := storage.OpenFolder(folder, storage.FolderOptions{})
	s.must(err)
	s.repository, err = catalog.Create(t.Context(), store, catalog.CreateOptions{ClusterName: "devices-eu"})
	s.must(err)
	s.openAt(folder)
	s.archiver = oplog.NewArchiver(s.reading, s.repository, oplog.ArchiveOptions{})
	return s, folder
}

// child runs the restore, or the undo of a job, in a process of its own that kills itself at a place.
func (s *stage) child(folder, place string, to pitr.Timestamp, undo format.ID) (killed bool) {
	s.t.Helper()
	command := exec.CommandContext(s.t.Context(), os.Args[0], "-test.run", "^TestChildRestores$")
	command.Env = append(os.Environ(), "PITR_FAILPOINT="+place, "PITR_KILL_STORE="+folder, "PITR_KILL_TO="+to.String(),
		"PITR_KILL_READER="+s.set.As(s.t, "reader"), "PITR_KILL_RESTORER="+s.set.As(s.t, "restorer"), "PITR_KILL_UNDO="+string(undo))
	output, err := command.CombinedOutput()
	if err == nil {
		return false
	}
	if !strings.Contains(err.Error(), "killed") {
		s.t.Fatalf("the process failed before it was killed at %s: %v\n%s", place, err, output)
	}
	leases, err := filepath.Glob(filepath.Join(folder, "leases", "*", "*"))
	s.must(err)
	for _, lease := range leases { // as if the time of the dead holder were over
		s.must(os.Remove(lease))
	}
	return true
}

// jobOf finds the only job of a kind.
func (s *stage) jobOf(kind format.JobKind) format.ID {
	s.t.Helper()
	jobs, err := s.repository.Jobs(s.t.Context())
	s.must(err)
	for _, job := range jobs {
		if job.Intent != nil && job.Intent.Kind == kind {
			return job.ID
		}
	}
	s.t.Fatalf("no job of kind %s was published", kind)
	return ""
}

// A process that the system kills at any fail point leaves a state that resume finishes, and that undo takes back.
// case C02
func TestKilledByTheSystem(t *testing.T) {
	for _, place := range places {
		t.Run(place, func(t *testing.T) {
			s, folder := killStage(t)
			s.devicesAtT()
			s.snapshot()
			at, want := s.now(), s.capture()
			s.damage()
			damaged := s.capture()
			if !s.child(folder, place, at, "") {
				t.Fatal("the process was not killed")
			}
			id := s.jobOf(format.JobRewind)
			outcome, err := restore.Resume(t.Context(), s.deps(), id)
			if err != nil {
				t.Fatalf("resume: %v", err)
			}
			s.same(want)
			// The undo is killed, too, where it passes the place, and resumed.
			if s.child(folder, place, at, outcome.Job) {
				if _, err := restore.Resume(t.Context(), s.deps(), s.jobOf(format.JobUndo)); err != nil {
					t.Fatalf("resume the undo: %v", err)
				}
			}
			s.same(damaged)
			block, err := s.writing.Primary().WriteBlock(t.Context())
			s.must(err)
			if block.Standing {
				t.Error("a block was left")
			}
		})
	}
}
