// Package verify looks whether a repository is what was written.
//
// Levels, each with all below it:
//
//	0  listing: every object has a name of the grammar; what manifests, change sets and holds name is there with the right
//	   size; segments join; JSON objects, which carry their own digest, are read. No chunk, key partition or segment is.
//	1  digests: every object is read, and is byte for byte what another object, or its own trailer, says.
//	2  content: everything is decoded and counted; sums, times, key indexes and joins fit; a snapshot exact at one time has
//	   no document twice.
//	3  history: a snapshot folded with the archive gives a later one. That needs the meaning of entries, which is not known
//	   here: Options.Fold brings it.
//
// Algorithm: one listing in the order of names, cut into groups (a snapshot, a job, a branch of the archive). Of a group only
// names and sizes are held in memory, of data two objects at a time, so that any size works. What is wrong is a value; the run
// goes on behind it.
//
// It changes nothing, and it does not repair.
package verify

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"strings"

	"pitr"
	"pitr/catalog"
	"pitr/format"
)

// Level is how deep a verification looks.
type Level int

// The levels.
const (
	LevelListing Level = iota
	LevelDigests
	LevelContent
	LevelHistory
)

// Kind says what sort of thing was found.
type Kind string

// The kinds of findings. The first three are damage.
const (
	// Damaged is an object whose bytes are not what was written.
	Damaged Kind = "damaged"
	// Missing is an object, or a span of the archive, that is named and not there.
	Missing Kind = "missing"
	// Disagrees is two things that must fit and do not: counts, sums, joins.
	Disagrees Kind = "disagrees"
	// Newer is an object that a newer pitr wrote.
	Newer Kind = "newer"
	// Hole is a span of the archive that was noted as missing when it was lost.
	Hole Kind = "hole"
	// Unreferenced is what nothing leads to: a run under way, or what a crash left behind. Prune removes it in time.
	Unreferenced Kind = "unreferenced"
	// Stranger is an object that pitr did not write.
	Stranger Kind = "stranger"
	// Unchecked is an object of a kind whose content this pitr does not know.
	Unchecked Kind = "unchecked"
)

// Finding is one thing that a verification found.
type Finding struct {
	Kind Kind `json:"kind"`
	// Object is the name of the object, or of the folder that a finding is about.
	Object string `json:"object"`
	// Where is the part of the object: listing, text, directory, frame 3, header, entries, content.
	Where string `json:"where,omitempty"`
	What  string `json:"what"`
}

// IsDamage reports whether the repository is not what it should be.
func (f Finding) IsDamage() bool {
	return f.Kind == Damaged || f.Kind == Missing || f.Kind == Disagrees
}

// String gives a line for a person.
func (f Finding) String() string {
	where := ""
	if f.Where != "" {
		where = " (" + f.Where + ")"
	}
	return fmt.Sprintf("%s: %s%s: %s", f.Kind, f.Object, where, f.What)
}

// Options say what to verify. The zero value looks at the listing of everything.
type Options struct {
	Level Level
	// Only are the snapshots to look at, with the archive that belongs to them; empty is the whole repository.
	Only []format.ID
	// Sample is the share of data objects (chunks, key partitions, segments, change parts) that levels 1 and 2 read, chosen
	// by Random (any seed when nil); zero is all of them. What needs all of them, such as the sum of a collection, is then not checked.
	Sample float64
	Random *rand.Rand
	// Memory bounds what the search for documents that stand twice may hold; 64 MiB when zero.
	Memory int64
	// Fold is level 3: it gives what a snapshot, folded with the archive, does not agree with.
	Fold     func(ctx context.Context, repository *catalog.Repository, snapshot format.Manifest) ([]Finding, error)
	Progress pitr.Progress
}

const defaultMemory = 64 << 20

// errStopped ends a verification whose consumer has had enough.
var errStopped = errors.New("the consumer stopped")

// Run verifies and yields what it finds. The last element is an error of kind corrupt when something was damage, unsupported
// when something came from a newer pitr; a repository that is as it should be ends without one. Other errors (a store that
// cannot be reached) end the run where they occur.
func Run(ctx context.Context, repository *catalog.Repository, o Options) iter.Seq2[Finding, error] {
	return func(yield func(Finding, error) bool) {
		if o.Level > LevelContent && o.Fold == nil {
			yield(Finding{}, pitr.Errorf(pitr.KindUnsupported, "verify the repository", "verify at level 2",
				"level %d folds the history, which nobody has brought", o.Level))
			return
		}
		if o.Memory <= 0 {
			o.Memory = defaultMemory
		}
		if o.Random == nil {
			o.Random = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())) //nolint:gosec // chance, not secrecy
		}
		if o.Progress == nil {
			o.Progress = pitr.Silent
		}
		v := &verifier{repository: repository, Options: o, yield: yield, branches: map[format.ID]bool{},
			windows: map[format.ID][]pitr.Window{}, published: map[format.ID]bool{}, condemned: map[string]bool{}, playbooks: map[format.ID]int{}}
		err := v.run(ctx)
		if err == nil {
			err = v.verdict()
		}
		if err != nil && !errors.Is(err, errStopped) {
			yield(Finding{}, err)
		}
	}
}

// verifier is one run.
type verifier struct {
	repository *catalog.Repository
	Options
	yield func(Finding, error) bool
	// damage and newer count findings.
	damage, newer int
	// playbooks count the entries of playbook runs.
	playbooks map[format.ID]int
	// branches are those that a branch object describes, windows what the archive covers of each, published the snapshots
	// with a manifest, wanted what must be among them and who says so.
	branches  map[format.ID]bool
	windows   map[format.ID][]pitr.Window
	published map[format.ID]bool
	wanted    []reference
	// condemned are the snapshots and objects that prune may be removing at this moment: that they vanish is no damage. Lists
	// are published a day before, and they are read before everything that they can name.
	condemned map[string]bool
}

// reference is an object that names a snapshot.
type reference struct {
	object   string
	snapshot format.ID
}

func (v *verifier) verdict() error {
	const op = "verify the repository"
	switch {
	case v.damage > 0:
		return pitr.Errorf(pitr.KindCorrupt, op, "what is damaged is not used; take a new snapshot, and look at the store",
			"%d findings are damage", v.damage)
	case v.newer > 0:
		return pitr.Errorf(pitr.KindUnsupported, op, "update pitr", "%d objects were written by a newer one", v.newer)
	}
	return nil
}

// find tells the consumer.
func (v *verifier) find(f Finding) error {
	if f.IsDamage() {
		v.damage++
	}
	if f.Kind == Newer {
		v.newer++
	}
	if !v.yield(f, nil) {
		return errStopped
	}
	return nil
}

// judge makes a finding of an error that is about an object's bytes; every other error ends the run.
func (v *verifier) judge(object, where string, err error) error {
	switch pitr.KindOf(err) {
	case pitr.KindCorrupt:
		return v.find(Finding{Kind: Damaged, Object: object, Where: where, What: err.Error()})
	case pitr.KindUnsupported:
		return v.find(Finding{Kind: Newer, Object: object, Where: where, What: err.Error()})
	case pitr.KindNotFound:
		if v.vanishing(object) {
			return nil
		}
		return v.find(Finding{Kind: Missing, Object: object, Where: "listing", What: err.Error()})
	}
	return err
}

// vanishing reports whether an object, or the snapshot that it belongs to, is condemned.
func (v *verifier) vanishing(object string) bool {
	if v.condemned[object] {
		return true
	}
	folder := strings.SplitAfterN(object, "/", 3)
	return len(folder) > 1 && v.condemned[folder[0]+folder[1]]
}

// disagree tells of two things that must fit.
func (v *verifier) disagree(object, what string, args ...any) error {
	return v.find(Finding{Kind: Disagrees, Object: object, Where: "content", What: fmt.Sprintf(what, args...)})
}

// chosen draws whether a data object is looked at.
func (v *verifier) chosen() bool {
	if v.Sample <= 0 || v.Sample >= 1 {
		return true
	}
	return v.Random.Float64() < v.Sample
}

// whole reports whether every object is looked at, so that sums over them mean something.
func (v *verifier) whole() bool { return v.Sample <= 0 || v.Sample >= 1 }
