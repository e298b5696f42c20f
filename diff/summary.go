package diff

import (
	"maps"
	"slices"

	"pitr"
)

// Summary counts differences. The zero value counts nothing.
type Summary struct {
	classes map[pitr.Namespace]map[pitr.Class]int64
	steps   map[pitr.Namespace]map[pitr.Step]int64
}

// Count is what a summary says of one namespace, or of all of them.
type Count struct {
	// NS is zero for the total.
	NS      pitr.Namespace
	Classes map[pitr.Class]int64
	Steps   map[pitr.Step]int64
}

// Add counts a change.
func (s *Summary) Add(change pitr.Change) { s.classes = counted(s.classes, change.NS, change.Class) }

// AddStep counts a catalog step.
func (s *Summary) AddStep(step pitr.CatalogStep) { s.steps = counted(s.steps, step.NS, step.Step) }

func counted[K comparable](counts map[pitr.Namespace]map[K]int64, ns pitr.Namespace, kind K) map[pitr.Namespace]map[K]int64 {
	if counts == nil {
		counts = make(map[pitr.Namespace]map[K]int64)
	}
	if counts[ns] == nil {
		counts[ns] = make(map[K]int64)
	}
	counts[ns][kind]++
	return counts
}

// Namespaces gives the counts of every namespace with a difference, in the order of names.
func (s Summary) Namespaces() []Count {
	names := slices.AppendSeq(slices.Collect(maps.Keys(s.classes)), maps.Keys(s.steps))
	slices.SortFunc(names, pitr.Namespace.Compare)
	var counts []Count
	for _, ns := range slices.Compact(names) {
		counts = append(counts, Count{NS: ns, Classes: maps.Clone(s.classes[ns]), Steps: maps.Clone(s.steps[ns])})
	}
	return counts
}

// Total gives the counts over all namespaces.
func (s Summary) Total() Count {
	total := Count{Classes: make(map[pitr.Class]int64), Steps: make(map[pitr.Step]int64)}
	for _, count := range s.Namespaces() {
		for class, n := range count.Classes {
			total.Classes[class] += n
		}
		for step, n := range count.Steps {
			total.Steps[step] += n
		}
	}
	return total
}

// IsEmpty reports whether nothing differs in effect: no step, and no document but those whose bytes are the same again
// or that came and went.
func (s Summary) IsEmpty() bool {
	total := s.Total()
	delete(total.Classes, pitr.ClassUnchanged)
	delete(total.Classes, pitr.ClassCameAndWent)
	return len(total.Classes) == 0 && len(total.Steps) == 0
}
