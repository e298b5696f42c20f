package history

import (
	"cmp"
	"context"
	"hash/maphash"
	"slices"

	"pitr"
	"pitr/history/fold"
)

// Candidate is a moment to go back to: the last one before a suspicious event, with what going there would take away.
type Candidate struct {
	At    pitr.Timestamp
	Event Event
	// Lost counts the documents that differ between the moment and the end of the window, by namespace and class.
	Lost map[pitr.Namespace]map[pitr.Class]int64
	// Guessed says that a dropped collection was counted by the server's own count of it.
	Guessed bool
}

// Total sums what a candidate would take away, by class.
func (c Candidate) Total() map[pitr.Class]int64 {
	total := map[pitr.Class]int64{}
	for _, classes := range c.Lost {
		for class, count := range classes {
			total[class] += count
		}
	}
	return total
}

// CandidateOptions say what to price. The zero value is good.
type CandidateOptions struct {
	Scope pitr.Scope
	// Most is how many candidates are priced at most, the earliest ones; 12 when zero.
	Most int
}

// Candidates prices the moments just before suspicious events, against the end of a window, all in one reading: the
// entries behind the first candidate twice, those before it once. Events at one moment share a candidate.
func (h *History) Candidates(ctx context.Context, events []Event, through pitr.Timestamp, o CandidateOptions) ([]Candidate, error) {
	candidates := candidatesOf(events, cmp.Or(o.Most, 12))
	if len(candidates) == 0 {
		return nil, nil
	}
	if err := h.serves(candidates[0].At); err != nil {
		return nil, err
	}
	gap := pitr.Window{After: candidates[0].At, Through: through}
	noted, f, err := h.beginGap(ctx, gap, func() *collector { return newCollector(o.Scope, h.options.MaxBytes, BurstOptions{}) })
	if err != nil {
		return nil, err
	}
	p := pricer{noted: noted, candidates: candidates, scope: o.Scope, seed: maphash.MakeSeed(), through: through, state: f.state}
	return candidates, p.run(ctx, f)
}

// candidatesOf gives the moments before suspicious events in their order.
func candidatesOf(events []Event, most int) []Candidate {
	var list []Candidate
	for _, event := range events {
		at := event.OpTime.TS.Before()
		known := slices.ContainsFunc(list, func(c Candidate) bool { return c.At == at })
		if event.Suspicious() && event.Kind != EventRefused && !known {
			list = append(list, Candidate{At: at, Event: event, Lost: map[pitr.Namespace]map[pitr.Class]int64{}})
		}
	}
	slices.SortFunc(list, func(a, b Candidate) int { return cmp.Compare(a.At, b.At) })
	return list[:min(len(list), most)]
}

// pricer compares the states of touched documents at several moments with those at the end.
type pricer struct {
	noted      *collector
	candidates []Candidate
	scope      pitr.Scope
	seed       maphash.Seed
	through    pitr.Timestamp
	state      *fold.State
}

// shot is the state of every touched document at one moment, short; what is not in it is absent.
type shot struct {
	catalog   catalogSide
	documents map[*touched]imprint
}

type catalogSide struct {
	names map[pitr.UUID]pitr.Namespace
	rules map[pitr.UUID][]Expiry
}

type imprint struct {
	hash uint64
	due  bool
}

func (p *pricer) run(ctx context.Context, f *gapFold) error {
	var shots []shot
	for _, bound := range append(p.moments(), p.through) {
		if err := f.through(ctx, bound); err != nil {
			return err
		}
		taken, err := p.shoot()
		if err != nil {
			return err
		}
		shots = append(shots, taken)
	}
	for i := range p.candidates {
		p.price(&p.candidates[i], shots[i], shots[len(shots)-1])
	}
	return nil
}

func (p *pricer) moments() []pitr.Timestamp {
	var moments []pitr.Timestamp
	for _, candidate := range p.candidates {
		moments = append(moments, candidate.At)
	}
	return moments
}

// shoot takes the imprint of every touched document that is there now.
func (p *pricer) shoot() (shot, error) {
	collections, err := p.state.Collections()
	if err != nil {
		return shot{}, err
	}
	taken := shot{documents: map[*touched]imprint{}, catalog: catalogSide{names: map[pitr.UUID]pitr.Namespace{}, rules: map[pitr.UUID][]Expiry{}}}
	for _, c := range collections {
		if !c.UUID.IsZero() {
			taken.catalog.names[c.UUID], taken.catalog.rules[c.UUID] = c.NS, Expiries(c)
		}
	}
	for uuid, documents := range p.noted.documents {
		if _, there := taken.catalog.names[uuid]; !there {
			continue
		}
		rules := taken.catalog.rules[uuid]
		for _, each := range documents.order {
			if document, _ := p.state.Document(uuid, each.key.Equal()); document != nil {
				taken.documents[each] = imprint{hash: maphash.Bytes(p.seed, document) | 1, due: len(rules) > 0 && Due(rules, document, p.through.Time())}
			}
		}
	}
	return taken, nil
}

// price compares one moment with the end.
func (p *pricer) price(c *Candidate, then, end shot) {
	count := func(ns pitr.Namespace, class pitr.Class, n int64) {
		if n <= 0 || !p.scope.Contains(ns.KnownAs()) {
			return
		}
		if c.Lost[ns] == nil {
			c.Lost[ns] = map[pitr.Class]int64{}
		}
		c.Lost[ns][class] += n
	}
	for uuid, documents := range p.noted.documents {
		ns, there := then.catalog.names[uuid]
		if !there {
			if ns, there = end.catalog.names[uuid]; !there {
				continue
			}
		}
		for _, each := range documents.order {
			if each.last.TS > c.At {
				count(ns, classOf(then.documents[each], end.documents[each]), 1)
			}
		}
	}
	for uuid, drop := range p.noted.dropped {
		ns, there := then.catalog.names[uuid]
		if !there || drop.at.TS <= c.At {
			continue
		}
		// Touched documents that were there are counted above, but for those that nothing but the drop touched since.
		for _, each := range p.noted.of(uuid).order {
			if each.last.TS <= c.At && then.documents[each].hash != 0 {
				count(ns, pitr.ClassDeleted, 1)
			}
		}
		count(ns, pitr.ClassDeleted, p.noted.untouched(uuid, drop))
		c.Guessed = true
	}
}

// classOf classifies by imprints.
func classOf(t, e imprint) pitr.Class {
	switch {
	case t.hash == 0 && e.hash == 0:
		return pitr.ClassCameAndWent
	case t.hash == 0:
		return pitr.ClassCreated
	case t.hash == e.hash:
		return pitr.ClassUnchanged
	case t.due:
		return pitr.ClassExpired
	case e.hash == 0:
		return pitr.ClassDeleted
	}
	return pitr.ClassChanged
}
