package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pitr/internal/replsim"
)

// whole fails the test unless every object of the repository is what it should be; what a crash left behind is not damage.
func (s *stage) whole(t *testing.T) {
	t.Helper()
	if got := s.pitr("verify", "--level", "2"); got.code != exitDone {
		t.Errorf("verify ends with %d:\n%s%s", got.code, got.out, got.err)
	}
}

// count gives the number of JSON lines of a command.
func (s *stage) count(args ...string) int {
	s.t.Helper()
	return strings.Count(s.ok(append(args, "--json")...).out, "\n")
}

// fresh gives the stage another, empty repository, so that many runs can share one server.
func (s *stage) fresh(t *testing.T) *stage {
	t.Helper()
	other := *s
	other.t, other.folder = t, filepath.Join(t.TempDir(), "repository")
	return &other
}

// TestKilledSnapshots: whatever a kill leaves, there is no manifest or a complete one, and the next run ends. // case C01
func TestKilledSnapshots(t *testing.T) {
	program := buildKillable(t)
	s := newStage(t, stageUsers, replsim.Options{})
	s.prepare()
	s.ok("init", "--cluster-name", clusterName)
	take := []string{"snapshot", "take"}
	places := s.places(program, take...)
	mustPass(t, places, "put.before.branch", "put.after.segment", "put.before.chunk", "put.after.chunk", "put.before.catalog", "put.before.manifest",
		"put.after.manifest", "folder.before-name", "folder.after-name")
	for _, place := range places {
		t.Run(place, func(t *testing.T) {
			run := s.fresh(t)
			run.ok("init", "--cluster-name", clusterName)
			if !run.killAt(program, place, take...) {
				t.Skip("this time it was not passed so often")
			}
			before := run.count("snapshot", "list")
			published := strings.Contains(place, "put.after.manifest") || strings.Contains(place, "snapshot.after-manifest")
			if before > 1 || (before == 1) != published && !strings.HasPrefix(place, "folder.") && !strings.Contains(place, ".lease") {
				t.Errorf("%d snapshots are listed after a kill", before)
			}
			run.whole(t)
			run.ok(take...)
			if after := run.count("snapshot", "list"); after != before+1 {
				t.Errorf("%d snapshots are listed after the next run, %d before", after, before)
			}
			run.whole(t)
			line := lastLine(t, run.ok("snapshot", "list", "--json"))
			run.ok("diff", line["id"].(string), "live", "--exit-code")
		})
	}
}

// mustPass makes sure that the fail points are where the job is.
func mustPass(t *testing.T, places []string, wanted ...string) {
	t.Helper()
	for _, want := range wanted {
		if !slices.Contains(places, want) {
			t.Errorf("the run does not pass %s, only %v", want, places)
		}
	}
}

// TestKilledArchivers: the next run goes on without a hole, and the archive folds to what is live. // case C01
func TestKilledArchivers(t *testing.T) {
	program := buildKillable(t)
	s := newStage(t, stageUsers, replsim.Options{})
	s.prepare()
	first := s.fresh(t)
	first.ok("init", "--cluster-name", clusterName)
	first.ok("snapshot", "take")
	s.damage()
	tracing := first.copied(t)
	places := tracing.places(program, "archive", "once")
	mustPass(t, places, "put.before.segment", "put.after.segment", "folder.before-name")
	for _, place := range places {
		t.Run(place, func(t *testing.T) {
			s := first.copied(t)
			if !s.killAt(program, place, "archive", "once") {
				t.Skip("this time it was not passed so often")
			}
			s.whole(t)
			s.ok("archive", "once")
			s.whole(t)
			if stretches := s.count("archive", "status"); stretches != 1 {
				t.Errorf("the archive has %d stretches", stretches)
			}
			s.ok("diff", "now", "live", "--exit-code")
		})
	}
}

// copied gives the stage a copy of its repository.
func (s *stage) copied(t *testing.T) *stage {
	t.Helper()
	other := s.fresh(t)
	other.must(os.CopyFS(other.folder, os.DirFS(s.folder)))
	return other
}

// TestKilledInit: there is a repository or none, and in the second case the place is as good as empty.
func TestKilledInit(t *testing.T) {
	program := buildKillable(t)
	s := newStage(t, nil, replsim.Options{})
	init := []string{"init", "--cluster-name", clusterName}
	for _, place := range s.places(program, init...) {
		t.Run(place, func(t *testing.T) {
			run := s.fresh(t)
			if !run.killAt(program, place, init...) {
				t.Skip("this time it was not passed so often")
			}
			_, err := os.Stat(filepath.Join(run.folder, "pitr.json"))
			if got := run.pitr(init...); got.code != exitDone && (err != nil || got.code != exitRefused) {
				t.Errorf("the next init ends with %d:\n%s", got.code, got.err)
			}
			run.ok("timeline")
			run.whole(t)
		})
	}
}

// TestKilledRestores: at every place that a restore passes, resume ends where the unbroken run ends, and undo where it began.
// case C02
func TestKilledRestores(t *testing.T) {
	program := buildKillable(t)
	played := func(t *testing.T) *stage {
		s := newStage(t, stageUsers, replsim.Options{})
		s.play()
		return s
	}
	restore := func(s *stage) []string {
		return []string{"restore", "--to", s.toGood(), "--confirm-target", clusterName}
	}
	unbroken := played(t)
	places := unbroken.places(program, restore(unbroken)...)
	unbroken.same(unbroken.good)
	mustPass(t, places, slices.DeleteFunc(failpointsOf(t, "../../restore", "../../guard"), func(name string) bool { return strings.HasPrefix(name, "copy.") })...)
	mustPass(t, places, "put.before.intent", "put.after.intent", "put.before.step", "put.before.manifest", "put.before.hold", "put.before.change",
		"put.after.change", "put.before.changes", "put.after.changes", "put.before.result", "put.after.result")
	for _, place := range places {
		t.Run(place, func(t *testing.T) {
			t.Parallel()
			s := played(t)
			if !s.killAt(program, place, restore(s)...) {
				t.Skip("this time it was not passed so often")
			}
			wrote := s.goOn(t)
			s.same(s.good)
			s.hasIndex(true)
			s.unblocked(t)
			s.whole(t)
			if !wrote {
				return
			}
			s = played(t)
			if !s.killAt(program, place, restore(s)...) {
				t.Skip("this time it was not passed so often")
			}
			s.ok("undo", string(s.theJob(t).Job), "--confirm-target", clusterName)
			s.same(s.bad)
			s.hasIndex(false)
			s.unblocked(t)
		})
	}
}

// failpointsOf reads the names of fail points from the code, so that none is forgotten.
func failpointsOf(t *testing.T, folders ...string) []string {
	t.Helper()
	var names []string
	for _, folder := range folders {
		files, err := filepath.Glob(filepath.Join(folder, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, match := range regexp.MustCompile(`failpoint\.(?:Hit|During)\("([^"]+)"`).FindAllSubmatch(content, -1) {
				names = append(names, string(match[1]))
			}
		}
	}
	if len(names) == 0 {
		t.Fatalf("no fail point in %v", folders)
	}
	return names
}

// unblocked fails the test if the write block stands.
func (s *stage) unblocked(t *testing.T) {
	t.Helper()
	if s.blocked() {
		t.Error("the write block stands")
	}
}

// theJob gives the only job that rewinds, the zero value where none was published.
func (s *stage) theJob(t *testing.T) jobLine {
	t.Helper()
	var found jobLine
	for line := range strings.Lines(s.ok("jobs", "--json").out) {
		var job jobLine
		s.must(json.Unmarshal([]byte(line), &job))
		if job.Kind == "rewind" {
			found = job
		}
	}
	return found
}

// goOn does what the person on call does after a crash: look at the jobs, then resume, or begin anew where nothing was
// published. A job that has written nothing yet refuses an undo. It reports whether the killed run had begun to write.
func (s *stage) goOn(t *testing.T) (wrote bool) {
	t.Helper()
	job := s.theJob(t)
	switch {
	case job.Job == "":
		s.same(s.bad)
		s.unblocked(t)
		s.ok("restore", "--to", s.toGood(), "--confirm-target", clusterName)
		return false
	case job.State == "done":
		s.refuses(t, refusal{args: []string{"resume", string(job.Job)}, code: exitRefused, next: []string{"pitr report"}})
		return true
	case !s.began(string(job.Job)):
		s.same(s.bad)
		if s.blocked() {
			s.refuses(t, refusal{args: []string{"restore", "--to", s.toGood(), "--confirm-target", clusterName}, code: exitRefused,
				says: []string{"left its write block"}, next: []string{"pitr resume " + string(job.Job), "pitr unfreeze " + string(job.Job)}})
		}
		s.refuses(t, refusal{args: []string{"undo", string(job.Job), "--confirm-target", clusterName}, code: exitRefused, says: []string{"written nothing"}})
	default:
		wrote = true
	}
	s.ok("resume", string(job.Job))
	return wrote
}

// began reports whether a job announced its first write.
func (s *stage) began(job string) bool {
	steps, err := filepath.Glob(filepath.Join(s.folder, "jobs", job, "steps", "*.json"))
	s.must(err)
	for _, step := range steps {
		content, err := os.ReadFile(step)
		s.must(err)
		if strings.Contains(string(content), `"step": "write"`) {
			return true
		}
	}
	return false
}

// TestKilledUndos: an undo is a job like any other. // case C02
func TestKilledUndos(t *testing.T) {
	program := buildKillable(t)
	done := func(t *testing.T) (s *stage, undo []string) {
		s = newStage(t, stageUsers, replsim.Options{})
		s.play()
		job := jobPattern.FindString(s.ok("restore", "--to", s.toGood(), "--confirm-target", clusterName, "--full-export=false").out)
		return s, []string{"undo", job, "--confirm-target", clusterName}
	}
	s, undo := done(t)
	places := s.places(program, undo...)
	s.same(s.bad)
	places = slices.DeleteFunc(places, func(place string) bool {
		// What holds for every object was tried with the restore.
		return strings.HasPrefix(place, "folder.") || strings.HasPrefix(place, "put.before.") || strings.Contains(place, ".lease")
	})
	mustPass(t, places, "put.after.intent", "put.after.changes", "restore.before-first-write", "restore.before-verify", "put.after.result")
	for _, place := range places {
		t.Run(place, func(t *testing.T) {
			t.Parallel()
			s, undo := done(t)
			if !s.killAt(program, place, undo...) {
				t.Skip("this time it was not passed so often")
			}
			jobs := strings.Split(strings.TrimSpace(s.ok("jobs", "--json").out), "\n")
			var last jobLine
			s.must(json.Unmarshal([]byte(jobs[len(jobs)-1]), &last))
			switch {
			case last.Kind != "undo":
				s.ok(undo...)
			case last.State != "done":
				s.ok("resume", string(last.Job))
			}
			s.same(s.bad)
			s.hasIndex(false)
			s.unblocked(t)
		})
	}
}
