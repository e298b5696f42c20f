package main

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"
	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim"
)

// TestNamingTheTarget: only the cluster's exact name, given by a flag or typed by a person, lets a job begin.
// cases W03, W04, W05
func TestNamingTheTarget(t *testing.T) {
	s := newStage(t, stageUsers, replsim.Options{})
	s.play()
	restore := []string{"restore", "--to", s.toGood()}
	for _, name := range []string{"devices-us", "Devices-EU", "devices-eu ", " devices-eu", "devices-еu", "devices\u2010eu", "rs0", "yes", "devices-eu\n"} {
		s.refuses(t, refusal{args: append(slices.Clone(restore), "--confirm-target", name), code: exitRefused, next: []string{"type the name"}})
	}
	s.refuses(t, refusal{args: restore, code: exitRefused, next: []string{"--confirm-target devices-eu", "--dry-run"}})
	s.refuses(t, refusal{args: append(slices.Clone(restore), "--confirm-target="), code: exitRefused, next: []string{"--confirm-target devices-eu"}})
	s.refuses(t, refusal{args: append(slices.Clone(restore), "--yes"), code: exitUsage})
	for input, code := range map[string]int{"yes\n": exitRefused, "\n": exitRefused, "": exitRefused, "DEVICES-EU\n": exitRefused} {
		for _, interactive := range []bool{true, false} {
			s.sim.ForgetCommands()
			got := s.pitrAt(context.Background(), streams{in: strings.NewReader(input), interactive: interactive}, restore...)
			if got.code != code || len(s.writes()) > 0 {
				t.Errorf("typing %q (terminal %v): exit %d, writes %v", input, interactive, got.code, s.writes())
			}
		}
	}
	s.same(s.bad)
	got := s.pitrAt(context.Background(), streams{in: strings.NewReader(clusterName + "\n"), interactive: true}, restore...)
	if got.code != exitDone || !strings.Contains(got.err, "Type the name of the cluster") {
		t.Errorf("the right name, typed: exit %d\n%s", got.code, got.err)
	}
	s.same(s.good)
}

// TestTargetsThatAreNotTheirs: system namespaces, and another cluster under the same addresses. // cases W01, W12
func TestTargetsThatAreNotTheirs(t *testing.T) {
	s := newStage(t, stageUsers, replsim.Options{})
	s.play()
	for _, ns := range []string{"admin", "local", "config", "local.oplog.rs", "admin.system.users", "deviceauth.system.views", "config.transactions"} {
		for _, flag := range []string{"--only", "--except"} {
			s.refuses(t, refusal{args: []string{"restore", "--to", s.toGood(), flag, ns, "--confirm-target", clusterName}, code: exitRefused, says: []string{ns}, next: []string{"users"}})
		}
		s.refuses(t, refusal{args: []string{"snapshot", "take", "--only", ns}, code: exitRefused, says: []string{ns}})
	}
	other := newStage(t, stageUsers, replsim.Options{})
	other.write("somebody else's")
	for name, args := range map[string][]string{
		"the target is another": {"--restore-uri-file", other.writer}, "both are another": {"--uri-file", other.reader, "--restore-uri-file", other.writer},
		"the source is another": {"--uri-file", other.reader}} {
		t.Run(name, func(t *testing.T) {
			other.sim.ForgetCommands()
			s.refuses(t, refusal{args: append([]string{"restore", "--to", s.toGood(), "--confirm-target", clusterName}, args...), code: exitRefused, says: []string{"cluster"}, next: []string{"check the address"}})
			if writes := other.writes(); len(writes) > 0 {
				t.Errorf("the other cluster was written to: %v", writes)
			}
		})
	}
	s.refuses(t, refusal{args: []string{"archive", "once", "--uri-file", other.reader}, code: exitRefused, says: []string{"replica set"}, next: []string{"check the address"}})
	s.refuses(t, refusal{args: []string{"snapshot", "take", "--uri-file", other.reader}, code: exitRefused, says: []string{"replica set"}})
	s.same(s.bad)
}

// TestDryRunsWriteNothing holds every command that has a dry run to it: the server's log has no write, the repository is
// the same object by object. // case W11
func TestDryRunsWriteNothing(t *testing.T) {
	s := newStage(t, stageUsers, replsim.Options{})
	s.play()
	done := jobPattern.FindString(s.ok("restore", "--to", s.toGood(), "--confirm-target", clusterName, "--json").out)
	arguments := map[string][]string{
		"restore":         {"--to", s.toGood()},
		"undo":            {done},
		"reconcile apply": {done, "--suggested"},
	}
	s.write("not archived yet")
	before := inventory(t, s.folder)
	commandsWith := 0
	for name, command := range leaves(commands(streams{}), "") {
		if !slices.ContainsFunc(command.Flags, func(flag cli.Flag) bool { return slices.Contains(flag.Names(), "dry-run") }) {
			continue
		}
		commandsWith++
		more, known := arguments[name]
		if !known {
			t.Errorf("pitr %s has a dry run that this test does not know", name)
			continue
		}
		for _, format := range [][]string{nil, {"--json"}} {
			s.sim.ForgetCommands()
			got := s.ok(slices.Concat(strings.Fields(name), more, []string{"--dry-run", "--confirm-target", clusterName}, format)...)
			for _, logged := range s.sim.Commands() {
				if logged.Writes {
					t.Errorf("pitr %s --dry-run: the server ran %s %s", name, logged.Name, logged.Namespace)
				}
			}
			if after := inventory(t, s.folder); !slices.Equal(before, after) {
				t.Errorf("pitr %s --dry-run: the repository was written to:\n%v\n%v", name, before, after)
			}
			if format == nil && !strings.Contains(got.err, "next: pitr "+name) {
				t.Errorf("pitr %s --dry-run names no next command:\n%s", name, got.err)
			}
			if format == nil && !strings.Contains(got.err, "back to") && !strings.Contains(got.err, "inserted") {
				t.Errorf("pitr %s --dry-run shows no plan:\n%s", name, got.err)
			}
		}
	}
	if commandsWith != len(arguments) {
		t.Errorf("%d commands have a dry run, %d were expected", commandsWith, len(arguments))
	}
}

// inventory lists the objects of a repository with their sizes and times.
func inventory(t *testing.T, folder string) []string {
	t.Helper()
	var list []string
	for _, name := range objects(t, folder, "") {
		list = append(list, describeFile(t, name))
	}
	return list
}

// TestBlockOfSomebodyElse is left standing, whoever asks. // case W06
func TestBlockOfSomebodyElse(t *testing.T) {
	s := newStage(t, stageUsers, replsim.Options{})
	s.play()
	s.block(true)
	s.refuses(t, refusal{args: []string{"restore", "--to", s.toGood(), "--confirm-target", clusterName}, code: exitRefused,
		says: []string{"write block stands"}, next: []string{"pitr jobs"}})
	if !s.blocked() {
		t.Error("a block that somebody else set was lifted")
	}
	s.block(false)
	s.same(s.bad)
}

// block switches the server's write block as an administrator does.
func (s *stage) block(on bool) {
	s.t.Helper()
	s.must(s.admin().Database("admin").RunCommand(context.Background(), bson.D{{Key: "setUserWriteBlockMode", Value: 1}, {Key: "global", Value: on}}).Err())
}

// strayWhen writes a document past the block, as an administrator, as soon as a command of pitr is held up.
func (s *stage) strayWhen(fault replsim.Fault, ns string) <-chan error {
	injected := s.sim.Inject(fault)
	admin := s.admin()
	done := make(chan error, 1)
	go func() {
		for range 2000 {
			if injected.Fired() > 0 {
				db, collection, _ := strings.Cut(ns, ".")
				_, err := admin.Database(db).Collection(collection).InsertOne(context.Background(), bson.D{{Key: "_id", Value: "stray"}, {Key: "tenant_id", Value: "stray"}})
				done <- err
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
		done <- context.DeadlineExceeded
	}()
	return done
}

// TestStrayWriter: somebody with the right to pass the block writes in the middle of a restore. // case D11
func TestStrayWriter(t *testing.T) {
	t.Run("before the first write", func(t *testing.T) {
		s := newStage(t, stageUsers, replsim.Options{})
		s.play()
		wrote := s.strayWhen(replsim.Fault{Command: "find", Namespace: "deviceauth.devices", Times: 1, Delay: 500 * time.Millisecond,
			Match: func(command bson.Raw) bool { return s.blockedNow() }}, "deviceauth.devices")
		s.refuses(t, refusal{args: []string{"restore", "--to", s.toGood(), "--confirm-target", clusterName}, code: exitRefused,
			says: []string{"deviceauth.devices"}})
		s.must(<-wrote)
		if s.blocked() {
			t.Error("the write block was not lifted")
		}
	})
	t.Run("after it", func(t *testing.T) {
		s := newStage(t, stageUsers, replsim.Options{})
		s.play()
		wrote := s.strayWhen(replsim.Fault{Command: "commitTransaction", Times: 1, Delay: 500 * time.Millisecond}, "deviceauth.devices")
		got := s.pitr("restore", "--to", s.toGood(), "--confirm-target", clusterName)
		s.must(<-wrote)
		s.checkRefusal(t, refusal{code: exitHalfway, says: []string{"deviceauth.devices", "evidence is safe"}, next: []string{"pitr resume", "pitr undo", "pitr unfreeze"}}, got)
		if !s.blocked() {
			t.Error("the write block does not stand any more")
		}
		job := jobPattern.FindString(got.err)
		s.checkRefusal(t, refusal{args: []string{"resume"}, code: exitHalfway}, s.pitr("resume", job))
		if got := s.pitr("undo", job, "--confirm-target", clusterName); got.code != exitDone && got.code != exitPartial {
			t.Errorf("undo: exit %d\n%s", got.code, got.err)
		}
		_, err := s.admin().Database("deviceauth").Collection("devices").DeleteOne(context.Background(), bson.D{{Key: "_id", Value: "stray"}})
		s.must(err)
		s.same(s.bad)
		if s.blocked() {
			t.Error("the undo left the write block")
		}
	})
}

// TestServerWithoutAuthentication has no write block that we could pass: the job proves that nobody writes, and watches.
func TestServerWithoutAuthentication(t *testing.T) {
	t.Parallel() // most of its time is quiet
	s := newStage(t, nil, replsim.Options{})
	s.play()
	got := s.ok("restore", "--to", s.toGood(), "--confirm-target", clusterName)
	if !strings.Contains(got.err, "proven quiet") {
		t.Errorf("the way of the freeze is not told:\n%s", got.err)
	}
	s.same(s.good)
	s.hasIndex(true)
}

// TestServerWithAFullDisk: before the first write nothing happened, after it the job can be resumed. // case D18
func TestServerWithAFullDisk(t *testing.T) {
	s := newStage(t, stageUsers, replsim.Options{})
	s.play()
	restore := []string{"restore", "--to", s.toGood(), "--confirm-target", clusterName}
	s.sim.FillDisk()
	s.refuses(t, refusal{args: restore, code: exitLimit, next: []string{"room"}})
	s.sim.FreeDisk()
	s.same(s.bad)
	injected := s.sim.Inject(replsim.Fault{Command: "commitTransaction", Skip: 1, Times: 1, Action: replsim.Fail, Code: 14031, Message: "no space left on device"})
	got := s.pitr(restore...)
	if injected.Fired() == 0 {
		t.Fatal("the disk was never full")
	}
	s.checkRefusal(t, refusal{code: exitHalfway, says: []string{"no space left"}, next: []string{"pitr resume"}}, got)
	s.ok("resume", jobPattern.FindString(got.err))
	s.same(s.good)
	s.hasIndex(true)
	if s.blocked() {
		t.Error("the write block stands")
	}
}

// TestTwoJobsAtOnce: one of them is told who is at work. // cases W14, W15
func TestTwoJobsAtOnce(t *testing.T) {
	t.Parallel() // a lease shows that its holder lives when it is renewed
	s := newStage(t, stageUsers, replsim.Options{})
	s.play()
	held := s.sim.Inject(replsim.Fault{Command: "commitTransaction", Times: 1, Delay: 25 * time.Second})
	first := make(chan outcome)
	go func() {
		first <- s.pitrAt(context.Background(), streams{in: strings.NewReader("")}, "restore", "--to", s.toGood(), "--confirm-target", clusterName)
	}()
	for range 1000 {
		if held.Fired() > 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	second := make(chan outcome)
	go func() {
		second <- s.pitrAt(context.Background(), streams{in: strings.NewReader("")}, "restore", "--to", s.toGood(), "--confirm-target", clusterName)
	}()
	third := s.pitr("snapshot", "take")
	s.checkRefusal(t, refusal{args: []string{"snapshot", "take"}, code: exitLocked, next: []string{"pitr jobs"}}, third)
	s.checkRefusal(t, refusal{args: []string{"restore"}, code: exitLocked, next: []string{"pitr lease list"}}, <-second)
	if got := <-first; got.code != exitDone {
		t.Errorf("the first ends with %d\n%s", got.code, got.err)
	}
	s.same(s.good)
}
