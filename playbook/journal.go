package playbook

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"

	"pitr"
	"pitr/catalog"
	"pitr/format"
)

// maxEntries is how many entries a run can have: their numbers have two digits.
const maxEntries = 99

// entriesOfStep is how many entries one attempt at a step may need at most, with the end of the run behind it. maxVisits
// bounds what others may add.
const (
	entriesOfStep = 8
	maxVisits     = 10
)

// Load reads the journal of a run; kind notfound when there is none.
func Load(ctx context.Context, repository *catalog.Repository, run format.ID) (State, error) {
	var entries []Entry
	for found, err := range repository.List(ctx, format.PlaybookPrefix(run), "") {
		if err != nil {
			return State{}, err
		}
		entry, err := catalog.ReadObject[Entry](ctx, repository, found.Name)
		if err != nil {
			return State{}, err
		}
		entries = append(entries, entry)
	}
	if len(entries) == 0 {
		return State{}, pitr.Errorf(pitr.KindNotFound, "read the journal of the playbook", "see `pitr playbook show`", "there is no run %s", run)
	}
	slices.SortFunc(entries, func(a, b Entry) int { return cmp.Compare(a.Number, b.Number) })
	return StateOf(entries)
}

// Listing is what a repository has of playbook runs, oldest first; Damaged are those whose journal cannot be used.
type Listing struct {
	Runs    []State
	Damaged map[format.ID]error
}

// Runs reads the journals of all runs.
func Runs(ctx context.Context, repository *catalog.Repository) (Listing, error) {
	var ids []format.ID
	for found, err := range repository.List(ctx, format.PlaybooksPrefix, "") {
		if err != nil {
			return Listing{}, err
		}
		if len(ids) == 0 || ids[len(ids)-1] != found.Name.ID() {
			ids = append(ids, found.Name.ID())
		}
	}
	listing := Listing{Damaged: map[format.ID]error{}}
	for _, id := range ids {
		state, err := Load(ctx, repository, id)
		if kind := pitr.KindOf(err); kind == pitr.KindCorrupt || kind == pitr.KindUnsupported {
			listing.Damaged[id] = err
			continue
		}
		if err != nil {
			return Listing{}, err
		}
		listing.Runs = append(listing.Runs, state)
	}
	slices.SortStableFunc(listing.Runs, func(a, b State) int { return a.Begun.Compare(b.Begun) })
	return listing, nil
}

// journal publishes the entries of a run under the next free numbers.
type journal struct {
	Options
	state State
	// lease is checked before every entry: who has lost it has no say any more.
	lease *catalog.Lease
}

// put publishes an entry. Where a visitor took the number, the visit is read and the next number taken.
func (j *journal) put(ctx context.Context, entry Entry) error {
	if err := j.lease.Check(); err != nil {
		return err
	}
	entry.Run, entry.Taken, entry.Operator, entry.Host, entry.Pitr = j.state.Run, j.Now().UTC(), j.Operator, j.Host, j.Version
	entry.Message, entry.Next = withoutValues(entry.Message), withoutValues(entry.Next)
	for {
		entry.Number = len(j.state.Entries) + 1
		if entry.Number > maxEntries {
			return pitr.Errorf(pitr.KindLimit, "write the journal of the playbook", "begin another run with `pitr playbook run`",
				"the run has %d entries already", maxEntries)
		}
		_, err := j.Repository.PutObject(ctx, &entry)
		if err == nil {
			break
		}
		if pitr.KindOf(err) != pitr.KindConflict { // a conflict is a number that is taken
			return fmt.Errorf("write the journal of the playbook: %w", err)
		}
		if err := j.meet(ctx); err != nil {
			return err
		}
	}
	var err error
	j.state, err = StateOf(append(slices.Clone(j.state.Entries), entry))
	if err == nil {
		j.Performer.Heard(entry)
	}
	return err
}

// meet reads what somebody else has added. A visit is told to the person; anything else means that another run of the
// program goes on with this journal.
func (j *journal) meet(ctx context.Context) error {
	known := len(j.state.Entries)
	state, err := Load(ctx, j.Repository, j.state.Run)
	if err != nil {
		return err
	}
	for _, entry := range state.Entries[known:] {
		if entry.Event != format.PlaybookVisited {
			return pitr.Errorf(pitr.KindLocked, "write the journal of the playbook", "see `pitr playbook show "+string(state.Run)+"`",
				"%s on %s goes on with this run", entry.Operator, entry.Host)
		}
		j.Performer.Heard(entry)
	}
	j.state = state
	return nil
}

// visit leaves a word in the journal of a run that somebody else is at, so that both know of each other. A journal that is
// full of visits takes no more, and a visit that cannot be written is no reason to fail.
func visit(ctx context.Context, o Options, state State) {
	visits := state.Visits()
	again := slices.ContainsFunc(visits, func(e Entry) bool { return e.Operator == o.Operator && e.Host == o.Host })
	if again || len(visits) >= maxVisits || len(state.Entries)+entriesOfStep > maxEntries || state.Outcome != "" {
		return
	}
	entry := Entry{Run: state.Run, Number: len(state.Entries) + 1, Event: format.PlaybookVisited, Taken: o.Now().UTC(),
		Operator: o.Operator, Host: o.Host, Pitr: o.Version}
	_, _ = o.Repository.PutObject(ctx, &entry) // the visitor is refused either way, and says why
}

// sharedValue is where a server's message quotes what documents have in a unique index.
var sharedValue = regexp.MustCompile(`(dup key: ).*`)

// withoutValues leaves out what a message quotes of documents: a journal and a transcript go to many people.
func withoutValues(text string) string { return sharedValue.ReplaceAllString(text, "$1(not shown)") }

func ordinal(n, of int) string { return fmt.Sprintf("%d of %d", n, of) }
