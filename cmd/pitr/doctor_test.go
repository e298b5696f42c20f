package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pitr/internal/mongotest"
	"pitr/internal/replsim"
)

// listed gives the names, sizes and times of everything in a folder, so that a look can be told from a write.
func listed(t *testing.T, folder string) string {
	t.Helper()
	var out strings.Builder
	err := filepath.Walk(folder, func(name string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			out.WriteString(name + info.ModTime().String() + "\n")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestDoctorEndsWithTheFittingCode examines clusters and repositories that something is wrong with. It never writes. // case U09
func TestDoctorEndsWithTheFittingCode(t *testing.T) {
	t.Parallel()
	users := append([]mongotest.User{{Name: "poor", Password: "poor", Roles: []string{"clusterMonitor"}}}, stageUsers...)
	s := newStage(t, users, replsim.Options{})
	s.prepare()
	doctor := func(code int, says []string, args ...string) {
		t.Helper()
		s.sim.ForgetCommands()
		before := listed(t, filepath.Dir(s.folder))
		args = append([]string{"doctor", "--for", "restore"}, args...)
		got := s.pitr(args...)
		if got.code != code {
			t.Errorf("%v ends with %d, want %d:\n%s%s", args, got.code, code, got.out, got.err)
		}
		for _, want := range says {
			if !strings.Contains(strings.Join(strings.Fields(got.out+got.err), " "), want) {
				t.Errorf("%v does not say %q:\n%s%s", args, want, got.out, got.err)
			}
		}
		for line := range strings.Lines(got.out) {
			if len([]rune(strings.TrimRight(line, "\n"))) > 80 && !strings.Contains(line, s.folder) {
				t.Errorf("a line of more than 80 columns: %q", line)
			}
		}
		if after := listed(t, filepath.Dir(s.folder)); after != before {
			t.Errorf("%v wrote to the repository", args)
		}
		if writes := s.writes(); len(writes) > 0 || s.blockedNow() {
			t.Errorf("%v wrote to the cluster: %v", args, writes)
		}
	}
	doctor(exitNotFound, []string{"bad repository"})
	s.ok("init", "--cluster-name", clusterName)
	doctor(exitHole, []string{"there is none", "no moment can be reached", "pitr snapshot take"})
	s.ok("snapshot", "take")
	s.damage()
	s.ok("archive", "once")
	doctor(exitDone, []string{"this login can set it and pass it", "nobody is archiving", "server, store and this machine agree", "never drilled", "no retention"})
	poor := secretFile(t, s.set.As(t, "poor"))
	doctor(exitDenied, []string{"find on every database (role backup)", "it lacks"}, "--uri-file", poor)
	doctor(exitDenied, []string{"restore rights", "insert on every database (role readWriteAnyDatabase)", "setUserWriteBlockMode on the cluster (role restore)"}, "--restore-uri-file", poor)
	nobody := secretFile(t, "mongodb://127.0.0.1:1/?replicaSet=rs0")
	doctor(exitUnavailable, []string{"bad cluster", "good repository", "last snapshot"}, "--uri-file", nobody, "--timeout", "300ms")
	s.leaveLease()
	doctor(exitLocked, []string{"ada@gone is writing to the cluster"})
	s.bury()
	damage(t, objects(t, s.folder, "/manifest.json")[0])
	doctor(exitCorrupt, []string{"bad repository", "manifest.json"})
	if got := s.pitr("doctor", "--for", "tea"); got.code != exitUsage {
		t.Errorf("--for tea ends with %d", got.code)
	}
}

// TestDoctorFindsAJobThatStandsHalfWay names the ways on.
func TestDoctorFindsAJobThatStandsHalfWay(t *testing.T) {
	program := buildKillable(t)
	t.Parallel()
	s := newStage(t, stageUsers, replsim.Options{})
	s.play()
	s.killAt(program, "restore.before-verify", "restore", "--to", s.toGood(), "--confirm-target", clusterName)
	job := string(s.theJob(t).Job)
	s.refuses(t, refusal{args: []string{"doctor", "--for", "restore"}, code: exitRefused, next: []string{"pitr"}})
	if got := s.pitr("doctor"); got.code != exitRefused || !strings.Contains(got.out, "pitr resume "+job) || !strings.Contains(got.out, "pitr undo "+job) {
		t.Errorf("it ends with %d:\n%s", got.code, got.out)
	}
}
