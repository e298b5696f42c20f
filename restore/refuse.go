package restore

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"pitr"
	"pitr/format"
	"pitr/history"
)

const (
	// maxReinserted is how many documents of a dropped or re-created collection a rewind writes one by one.
	maxReinserted = 1_000_000
	// shownWays bounds the list of namespaces in an intent.
	shownWays = 100
)

const copyHint = "use `pitr restore --into` for it, or leave it out with --except"

// refusals names the namespaces that a rewind cannot bring back, each with the way out. Only what the gap touched counts.
func refusals(live, at []pitr.Collection, price history.Price, scope pitr.Scope) []Refusal {
	var list []Refusal
	byName := map[pitr.Namespace][2]*pitr.Collection{}
	for i := range live {
		byName[live[i].NS] = [2]*pitr.Collection{&live[i], nil}
	}
	for i := range at {
		byName[at[i].NS] = [2]*pitr.Collection{byName[at[i].NS][0], &at[i]}
	}
	for ns, sides := range byName {
		touched := total(price.Touched[ns])
		if touched == 0 && sameIdentity(sides) {
			continue
		}
		for _, side := range sides {
			if side == nil {
				continue
			}
			if reason := cannotRewind(*side, scope); reason != "" {
				list = append(list, Refusal{NS: ns, Reason: reason, Hint: copyHint})
				break
			}
		}
		if !sameIdentity(sides) && touched > maxReinserted {
			list = append(list, Refusal{NS: ns, Hint: copyHint, Reason: fmt.Sprintf(
				"it was dropped or made anew, and %d documents are too many to write one by one", touched)})
		}
	}
	for _, obstacle := range price.Obstacles {
		list = append(list, Refusal{NS: obstacle.NS, Reason: fmt.Sprintf("the gap holds an entry at %s that cannot be undone: %s", obstacle.At.TS, obstacle.What),
			Hint: "choose a later moment, or another scope with --only and --except"})
	}
	list = append(list, tangles(live, at)...)
	slices.SortFunc(list, func(a, b Refusal) int { return cmp.Or(a.NS.Compare(b.NS), cmp.Compare(a.Reason, b.Reason)) })
	return list
}

// refuseAgain judges the catalog at F, where it is not the one any more that the intent was made for: bulk evidence takes
// its time, and the service goes on meanwhile.
func (j *job) refuseAgain(ctx context.Context, live []pitr.Collection) error {
	if bytes.Equal(digestOf(live), j.intent.Detail.Catalog) {
		return nil
	}
	price, err := j.Past.Price(ctx, pitr.Window{After: j.intent.To, Through: j.f.TS}, j.intent.Scope)
	if err != nil {
		return fmt.Errorf("count what the gap touched: %w", err)
	}
	for _, first := range refusals(live, j.t, price, j.intent.Scope) {
		return pitr.Refusef("compare the cluster with the intent", first.Hint, "the catalog has changed since, and this stands in the way now: %s %s",
			nameOf(first.NS), first.Reason)
	}
	return nil
}

// tangles names the collections that a rename took away from a name which something else bears now, or the other way
// round: giving names back one by one would meet a name that is taken.
func tangles(live, at []pitr.Collection) []Refusal {
	var list []Refusal
	now, then := byName(live), byName(at)
	for _, c := range at {
		for _, other := range live {
			if c.UUID.IsZero() || c.UUID != other.UUID || c.NS == other.NS || now[c.NS] == nil && then[other.NS] == nil {
				continue
			}
			list = append(list, Refusal{NS: c.NS, Reason: fmt.Sprintf("it is called %s now, and one of both names belongs to another collection", other.NS),
				Hint: "give the collections their old names by hand first, then restore"})
		}
	}
	return list
}

// sameIdentity reports whether a namespace is the same collection, or a view, on both sides.
func sameIdentity(sides [2]*pitr.Collection) bool {
	return sides[0] != nil && sides[1] != nil && sides[0].UUID == sides[1].UUID
}

// cannotRewind says why documents of a collection cannot be written back one by one; empty when they can.
func cannotRewind(c pitr.Collection, scope pitr.Scope) string {
	switch {
	case c.Type == pitr.TypeTimeseries, strings.HasPrefix(c.NS.Collection, "system.buckets."):
		return "it is a time-series collection, whose open buckets the server keeps in memory"
	case c.IsCapped():
		return "it is capped, and the order of its documents cannot be made again in place"
	}
	fields, encrypted := c.Options.Lookup("encryptedFields").DocumentOK()
	if !encrypted {
		return ""
	}
	for _, kind := range []string{"esc", "ecoc"} {
		state, named := fields.Lookup(kind + "Collection").StringValueOK()
		if !named {
			state = "enxcol_." + c.NS.Collection + "." + kind
		}
		if !scope.Contains(pitr.Namespace{DB: c.NS.DB, Collection: state}.KnownAs()) {
			return "it is encrypted for queries, and its state collection " + state + " is not in the scope"
		}
	}
	return ""
}

func total(classes map[pitr.Class]int64) int64 {
	var sum int64
	for _, count := range classes {
		sum += count
	}
	return sum
}

// waysOf says what is done to each namespace, the largest first.
func waysOf(price history.Price, refused []Refusal) []format.Way {
	var ways []format.Way
	for ns, classes := range price.Touched {
		way := format.Way{NS: ns, Way: format.JobRewind, Touched: total(classes)}
		way.Reason = fmt.Sprintf("%d documents were touched; only those are written", way.Touched)
		for _, refusal := range refused {
			if refusal.NS == ns {
				way.Way, way.Reason = format.JobCopy, refusal.Reason
			}
		}
		ways = append(ways, way)
	}
	slices.SortFunc(ways, func(a, b format.Way) int { return cmp.Or(-cmp.Compare(a.Touched, b.Touched), a.NS.Compare(b.NS)) })
	return ways[:min(len(ways), shownWays)]
}

// The rates of guarded writes and index builds, in documents per second, where no earlier job has measured them.
const (
	writeRate = 5000
	indexRate = 100_000
	// overhead is what freezing, sealing and verifying take at least, in seconds.
	overhead = 5
)

// estimate gives the expected seconds between freeze and unfreeze.
func (p *planner) estimate(ctx context.Context) (float64, error) {
	rate, err := measuredRate(ctx, p.deps)
	if err != nil {
		return 0, err
	}
	seconds := float64(overhead) + float64(total(p.intent.Touched))/rate
	for _, priced := range p.intent.Catalog {
		seconds += float64(priced.Reads) / indexRate
	}
	return seconds, nil
}

// measuredRate gives the rate of the newest job that wrote enough to tell.
func measuredRate(ctx context.Context, deps Deps) (float64, error) {
	jobs, err := deps.Repository.Jobs(ctx)
	if err != nil {
		return 0, err
	}
	for _, job := range slices.Backward(jobs) {
		if !job.Done() || job.Intent == nil || job.Intent.Kind != format.JobRewind || job.Result.Written < 10_000 {
			continue
		}
		var began, ended int64
		for _, step := range job.Steps {
			switch step.Step {
			case stepFreeze:
				began = step.Taken.UnixMilli()
			case stepVerified:
				ended = step.Taken.UnixMilli()
			}
		}
		if ended > began && began > 0 {
			return float64(job.Result.Written) * 1000 / float64(ended-began), nil
		}
	}
	return writeRate, nil
}

// priceOf says what a catalog write costs.
func (p *planner) priceOf(ctx context.Context, step pitr.CatalogWrite) (CatalogPrice, error) {
	priced := CatalogPrice{Step: step.String(), NS: step.Target()}
	switch step.(type) {
	case pitr.CreateIndexes:
		documents, err := p.deps.Target.Count(ctx, step.Target())
		if pitr.KindOf(err) == pitr.KindNotFound {
			documents, err = 0, nil
		}
		if err != nil {
			return priced, fmt.Errorf("count %s: %w", step.Target(), err)
		}
		priced.Reads = documents
		priced.Price = fmt.Sprintf("reads %d documents", documents)
	case pitr.DropCollection, pitr.RenameCollection:
		priced.Price = "ends change streams on the collection"
	case pitr.DropIndex:
		priced.Price = "queries that use it scan instead"
	}
	return priced, nil
}
