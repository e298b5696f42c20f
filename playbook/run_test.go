package playbook_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"pitr"
	"pitr/catalog"
	"pitr/format"
	"pitr/playbook"
	"pitr/storage"
)

// actor does steps as a script says: what is not in it goes well.
type actor struct {
	performed []string
	heard     []playbook.Entry
	fails     map[string]error
	end       map[string]string
	// during is called while a step is performed.
	during func(turn *playbook.Turn) error
}

func (a *actor) Perform(ctx context.Context, turn *playbook.Turn) (playbook.Result, error) {
	a.performed = append(a.performed, turn.Step.Command)
	if a.during != nil {
		if err := a.during(turn); err != nil {
			return playbook.Result{}, err
		}
	}
	if turn.Step.Command == "restore" {
		err := turn.Decide(ctx, playbook.Decided{Question: "The name of the cluster?", Answer: "devices-eu", By: "typed", Job: "20251022T092001Z-k3f9q2"})
		if err != nil {
			return playbook.Result{}, err
		}
	}
	result := playbook.Result{End: a.end[turn.Step.Command]}
	if turn.Step.Command == "restore" {
		result.Job = "20251022T092001Z-k3f9q2"
	}
	return result, a.fails[turn.Step.Command]
}

func (a *actor) Heard(entry playbook.Entry)                 { a.heard = append(a.heard, entry) }
func (a *actor) Waiting(catalog.LeaseState, playbook.State) {}

func newRepository(t interface {
	Helper()
	Fatal(args ...any)
}) (*catalog.Repository, storage.Store) {
	t.Helper()
	store := storage.NewMemory()
	repository, err := catalog.Create(context.Background(), store, catalog.CreateOptions{ClusterName: "devices-eu"})
	if err != nil {
		t.Fatal(err)
	}
	return repository, store
}

func optionsFor(repository *catalog.Repository, a *actor) playbook.Options {
	return playbook.Options{Repository: repository, Performer: a, Operator: "ada@db1", Host: "db1", Version: "0.5.0", Now: time.Now, Commands: commands,
		Lease: catalog.LeaseOptions{Holder: "ada@db1", Host: "db1", Process: 1}, ExitCode: func(err error) int {
			if err != nil {
				return 14
			}
			return 0
		}}
}

func TestARunStopsAndGoesOnAtTheFirstStepThatIsNotDone(t *testing.T) {
	repository, _ := newRepository(t)
	a := &actor{fails: map[string]error{"restore": pitr.Errorf(pitr.KindHole, "", "choose another one", "no way: dup key: { mac: \"00:11\" }")}}
	state, err := playbook.Run(t.Context(), optionsFor(repository, a), playbook.BuiltIn("devices-eu"))
	if pitr.KindOf(err) != pitr.KindHole || !strings.Contains(pitr.HintOf(err), "choose another one; then `pitr playbook run --resume "+string(state.Run)) {
		t.Fatalf("%v, next: %s", err, pitr.HintOf(err))
	}
	loaded, err := playbook.Load(t.Context(), repository, state.Run)
	if err != nil || loaded.Next() != 4 || loaded.Steps[3].Status != playbook.Stopped || loaded.Steps[3].Exit != 14 {
		t.Fatalf("%+v, %v", loaded.Steps, err)
	}
	if strings.Contains(loaded.Steps[3].Message, "00:11") {
		t.Errorf("the journal quotes a document: %s", loaded.Steps[3].Message)
	}
	next := &actor{}
	state, err = playbook.Resume(t.Context(), optionsFor(repository, next), state.Run, nil)
	if err != nil || !slices.Equal(next.performed, []string{"restore", "report"}) || state.Outcome != playbook.OutcomeDone || state.Job(6) == "" {
		t.Errorf("%v did %v, %v", state.Where(), next.performed, err)
	}
	if _, err = playbook.Resume(t.Context(), optionsFor(repository, next), state.Run, nil); pitr.KindOf(err) != pitr.KindRefused {
		t.Errorf("a run that is over goes on: %v", err)
	}
}

func TestAnotherFileOrVersionDoesNotGoOn(t *testing.T) {
	repository, _ := newRepository(t)
	procedure := playbook.BuiltIn("devices-eu")
	state, _ := playbook.Run(t.Context(), optionsFor(repository, &actor{fails: map[string]error{"find": errors.New("no")}}), procedure)
	for name, try := range map[string]func() error{
		"version": func() error {
			o := optionsFor(repository, &actor{})
			o.Version = "0.6.0"
			_, err := playbook.Resume(t.Context(), o, state.Run, nil)
			return err
		},
		"file": func() error {
			other := playbook.BuiltIn("devices-eu")
			other.Steps[2].Arguments = []string{"--since=3h ago"}
			_, err := playbook.Resume(t.Context(), optionsFor(repository, &actor{}), state.Run, &other)
			return err
		},
	} {
		if err := try(); pitr.KindOf(err) != pitr.KindRefused || pitr.HintOf(err) == "" {
			t.Errorf("another %s: %v", name, err)
		}
	}
	if _, err := playbook.Resume(t.Context(), optionsFor(repository, &actor{}), state.Run, &procedure); err != nil {
		t.Errorf("the same file: %v", err)
	}
}

// Behind a restore no failure may promise that nothing was written.
func TestWhatFailsAfterTheRestoreIsHalfway(t *testing.T) {
	repository, _ := newRepository(t)
	a := &actor{fails: map[string]error{"report": pitr.Refusef("write the page", "choose another name", "it exists")}}
	state, err := playbook.Run(t.Context(), optionsFor(repository, a), playbook.BuiltIn("devices-eu"))
	if pitr.KindOf(err) != pitr.KindHalfway || !strings.Contains(err.Error(), "which is done") || !strings.Contains(pitr.HintOf(err), "choose another name; then") || state.Next() != 5 {
		t.Errorf("%v at %s, next: %s", err, state.Where(), pitr.HintOf(err))
	}
}

func TestWhatIsLeftOutAndWhatIsTakenBack(t *testing.T) {
	repository, _ := newRepository(t)
	partial := &actor{fails: map[string]error{"doctor": pitr.Errorf(pitr.KindPartial, "", "look", "two things were left out")}}
	state, err := playbook.Run(t.Context(), optionsFor(repository, partial), playbook.BuiltIn("devices-eu"))
	if pitr.KindOf(err) != pitr.KindPartial || state.Outcome != playbook.OutcomeDone || len(partial.performed) != 5 {
		t.Errorf("%s after %v, %v", state.Where(), partial.performed, err)
	}
	back := &actor{end: map[string]string{"restore": playbook.OutcomeUndone}}
	state, err = playbook.Run(t.Context(), optionsFor(repository, back), playbook.BuiltIn("devices-eu"))
	if err != nil || state.Outcome != playbook.OutcomeUndone || len(back.performed) != 4 {
		t.Errorf("%s after %v, %v", state.Where(), back.performed, err)
	}
}

// A visitor takes the next number; the run meets the visit and goes on behind it. Another run's entry there ends it.
func TestVisitsAreMet(t *testing.T) {
	for event, want := range map[format.PlaybookEvent]pitr.Kind{format.PlaybookVisited: pitr.KindUnexpected, format.PlaybookStep: pitr.KindLocked} {
		repository, _ := newRepository(t)
		a := &actor{during: func(turn *playbook.Turn) error {
			if turn.Number != 2 {
				return nil
			}
			entry := playbook.Entry{Run: turn.State.Run, Number: len(turn.State.Entries) + 1, Event: event, Taken: time.Now().UTC(), Operator: "bob@db2", Host: "db2", Step: 0}
			_, err := repository.PutObject(t.Context(), &entry)
			return err
		}}
		state, err := playbook.Run(t.Context(), optionsFor(repository, a), playbook.BuiltIn("devices-eu"))
		if pitr.KindOf(err) != want {
			t.Errorf("%s: %v", event, err)
		}
		told := slices.ContainsFunc(a.heard, func(e playbook.Entry) bool { return e.Operator == "bob@db2" })
		if event == format.PlaybookVisited && (!told || len(state.Visits()) != 1 || state.Outcome != playbook.OutcomeDone) {
			t.Errorf("told %v, %d visits, %s", told, len(state.Visits()), state.Where())
		}
	}
}

// Whatever entries there are, the next step is the first that is not done; a journal with a gap or of another procedure is
// no journal.
func TestStateFollowsFromTheEntries(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		repository, store := newRepository(t)
		failing := rapid.SampledFrom([]string{"", "writers", "doctor", "find", "restore", "report"}).Draw(t, "failing")
		a := &actor{fails: map[string]error{failing: errors.New("no")}}
		state, _ := playbook.Run(context.Background(), optionsFor(repository, a), playbook.BuiltIn("devices-eu"))
		cut := rapid.IntRange(1, len(state.Entries)).Draw(t, "cut")
		done := map[int]bool{}
		for _, entry := range state.Entries[:cut] {
			if entry.Event == format.PlaybookDone {
				done[entry.Step] = true
			}
		}
		want := 1
		for done[want] {
			want++
		}
		if want > 5 {
			want = 0
		}
		prefix, err := playbook.StateOf(state.Entries[:cut])
		if err != nil || prefix.Next() != want {
			t.Fatalf("after %d entries: next is %d, want %d, %v", cut, prefix.Next(), want, err)
		}
		if cut < len(state.Entries) {
			gone := fmt.Sprintf("playbooks/%s/%02d.json", state.Run, cut)
			if err := store.Delete(context.Background(), gone); err != nil {
				t.Fatal(err)
			}
			if _, err := playbook.Load(context.Background(), repository, state.Run); pitr.KindOf(err) != pitr.KindCorrupt {
				t.Fatalf("entry %d is gone: %v", cut, err)
			}
		}
		first := state.Entries[0]
		first.Procedure = &playbook.Procedure{Name: "another", Cluster: "devices-eu"}
		if _, err := playbook.StateOf([]playbook.Entry{first}); pitr.KindOf(err) != pitr.KindCorrupt {
			t.Fatalf("another procedure: %v", err)
		}
	})
}
