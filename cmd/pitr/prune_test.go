package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pitr/internal/mongotest"
	"pitr/internal/replsim"
)

// aged gives the stage a repository of five snapshots, two days apart by the clocks of store and cluster, the last one
// two days old.
func aged(t *testing.T, users []mongotest.User) *stage {
	t.Helper()
	const apart = 48 * time.Hour
	s := newStage(t, users, replsim.Options{Clock: func() time.Time { return time.Now().Add(-5 * apart) }})
	s.prepare()
	s.ok("init", "--cluster-name", clusterName)
	for i := range 5 {
		if i > 0 {
			s.sim.JumpClock(apart)
		}
		s.write(fmt.Sprint("before ", i))
		s.ok("snapshot", "take", "--reason", "scheduled")
		s.write(fmt.Sprint("after ", i))
		s.ok("archive", "once")
	}
	for i, id := range s.snapshotsByMoment() {
		s.age("snapshots/"+id, time.Duration(5-i)*apart)
	}
	s.age("pitr.json", 5*apart)
	return s
}

// snapshotsByMoment gives the ids of the snapshots in the order of their moments: ids of one second are in any order.
func (s *stage) snapshotsByMoment() []string {
	s.t.Helper()
	var rows [][2]string
	for line := range strings.Lines(s.ok("snapshot", "list").out) {
		if words := strings.Fields(line); words[0] != "SNAPSHOT" {
			seconds, ordinal, _ := strings.Cut(words[1], ":")
			rows = append(rows, [2]string{seconds + strings.Repeat("0", 10-len(ordinal)) + ordinal, words[0]})
		}
	}
	slices.SortFunc(rows, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	var ids []string
	for _, row := range rows {
		ids = append(ids, row[1])
	}
	return ids
}

// age makes everything below a folder of the repository older for the store.
func (s *stage) age(folder string, by time.Duration) {
	s.t.Helper()
	s.must(filepath.Walk(filepath.Join(s.folder, folder), func(name string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		return os.Chtimes(name, info.ModTime().Add(-by), info.ModTime().Add(-by))
	}))
}

// screen replaces what differs from run to run: ids by their order, times, sizes.
func screen(text string) string {
	names := map[string]string{}
	text = regexp.MustCompile(`\d{8}T\d{6}Z-[a-z0-9]{6}`).ReplaceAllStringFunc(text, func(id string) string {
		if names[id] == "" {
			names[id] = "ID" + string(rune('A'+len(names))) + strings.Repeat(".", len(id)-3)
		}
		return names[id]
	})
	text = regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)? UTC`).ReplaceAllString(text, "TIME")
	text = regexp.MustCompile(` +[\d.]+ (k|M|)B`).ReplaceAllString(text, " SIZE")
	return regexp.MustCompile(`\d+ (segments|lease)`).ReplaceAllString(text, "N $1")
}

// TestPruneScreens holds plan and run to what docs/retention.md promises, and to one screen. // case R04, R09
func TestPruneScreens(t *testing.T) {
	s := aged(t, stageUsers)
	policy := []string{"--keep", "last=2", "--pitr-window", "72h"}
	prune := func(more ...string) []string { return slices.Concat([]string{"prune"}, policy, more) }
	ids := s.snapshotsByMoment()
	s.ok("snapshot", "hold", ids[1], "--reason", "case 4711")
	before := objects(t, s.folder, "")
	plan := s.ok(prune()...)
	if after := objects(t, s.folder, ""); !slices.Equal(before, after) {
		t.Error("looking at the plan changed the repository")
	}
	for id, want := range map[string]string{ids[0]: "goes", ids[1]: "stays", ids[2]: "stays", ids[3]: "stays", ids[4]: "stays"} {
		if !regexp.MustCompile(want + ` +snapshot ` + id).MatchString(plan.out) {
			t.Errorf("%s should be one that %s:\n%s", id, want, plan.out)
		}
	}
	for _, want := range []string{"base of the promised window", "minimum redundancy; last", "case 4711"} {
		if text := plan.out + s.ok("snapshot", "show", ids[1]).out; !strings.Contains(text, want) {
			t.Errorf("nobody says %q:\n%s", want, text)
		}
	}
	if got := screen(s.ok(prune("--run")...).out); got != "condemned  1 snapshots, 4 objects in all, SIZE\nwhat was condemned may be removed from TIME on\n" {
		t.Errorf("the first run says:\n%s", got)
	}
	s.refuses(t, refusal{args: []string{"snapshot", "hold", ids[0], "--reason", "too late"}, code: exitRefused, says: []string{"condemned"}})
	if got := s.ok("snapshot", "list").out; !regexp.MustCompile(ids[0]+`.* condemned`).MatchString(got) || !regexp.MustCompile(ids[1]+`.* held`).MatchString(got) {
		t.Errorf("the list does not tell:\n%s", got)
	}
	s.age("condemned", 25*time.Hour)
	if got := s.ok(prune("--run")...).out; !strings.HasPrefix(got, "removed    1 snapshots") {
		t.Errorf("the second run says:\n%s", got)
	}
	s.whole(t)
	s.ok("diff", s.snapshotsByMoment()[1], "live", "--summary")
	// With one more, three of five would go.
	s.ok("snapshot", "release", ids[1])
	s.refuses(t, refusal{args: []string{"snapshot", "release", ids[1]}, code: exitNotFound})
	s.sim.JumpClock(24 * time.Hour)
	s.write("much later")
	s.ok("snapshot", "take")
	drastic := []string{"prune", "--keep", "last=1", "--pitr-window", "1h", "--run"}
	s.refuses(t, refusal{args: drastic, code: exitRefused, says: []string{"3 of 5 snapshots would go"}, next: []string{"--confirm-target " + clusterName}})
	s.refuses(t, refusal{args: append(drastic, "--confirm-target", "devices-us"), code: exitRefused})
	s.ok(append(drastic, "--confirm-target", clusterName)...)
	for _, bad := range [][]string{{"prune", "--keep", "lst=1"}, {"prune", "--keep", "last=1", "--pitr-window", "5m"}, {"prune", "--keep", "minimum=1"},
		{"snapshot", "hold", ids[4]}, {"snapshot", "hold", ids[4], "--reason", "x", "--until", "2001-01-01T00:00:00Z"}} {
		s.refuses(t, refusal{args: bad, code: exitUsage})
	}
}

// TestKilledPrunes: at every place that a prune passes, no manifest names what is not there, and the next run ends it. // case C04, R10
func TestKilledPrunes(t *testing.T) {
	program := buildKillable(t)
	first := aged(t, nil)
	policy := []string{"prune", "--keep", "last=2", "--pitr-window", "1h", "--run", "--confirm-target", clusterName}
	ids := first.snapshotsByMoment()
	first.ok("snapshot", "hold", ids[0], "--reason", "an island")
	condemned := keepTimes(t, first)
	condemned.ok(policy...)
	condemned.age("condemned", 25*time.Hour)
	for name, from := range map[string]*stage{"condemn": first, "remove": condemned} {
		places := keepTimes(t, from).places(program, policy...)
		if name == "remove" {
			mustPass(t, places, failpointsOf(t, "../../catalog/prune")...)
		} else {
			mustPass(t, places, "put.before.condemned", "put.after.condemned")
		}
		for _, place := range places {
			t.Run(name+" "+place, func(t *testing.T) {
				s := keepTimes(t, from)
				if !s.killAt(program, place, policy...) {
					t.Skip("this time it was not passed so often")
				}
				s.whole(t)
				s.ok("timeline")
				s.ok(policy...)
				s.age("condemned", 25*time.Hour)
				s.ok(policy...)
				s.age("condemned", 25*time.Hour)
				s.ok(policy...)
				s.whole(t)
				if left := s.snapshotsByMoment(); len(left) > 3 {
					t.Errorf("%d snapshots are left", len(left))
				}
				for _, folder := range objects(t, s.folder, "/catalog-") {
					if _, err := os.Stat(filepath.Join(filepath.Dir(folder), "manifest.json")); err != nil {
						t.Errorf("%s is half deleted", filepath.Dir(folder))
					}
				}
			})
		}
	}
}

// keepTimes copies a stage's repository with the store's times.
func keepTimes(t *testing.T, from *stage) *stage {
	t.Helper()
	other := from.copied(t)
	other.must(filepath.Walk(from.folder, func(name string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		return os.Chtimes(other.folder+strings.TrimPrefix(name, from.folder), info.ModTime(), info.ModTime())
	}))
	return other
}
