package reconcile

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"slices"

	"pitr"
	"pitr/catalog"
	"pitr/format"
	"pitr/history"
	"pitr/restore"
)

// Plan is what there is to decide about a lost set, as a value that lies partly in a file: close it after use. It is read by
// one goroutine.
type Plan struct {
	// Job is the job whose lost set this is, Changes its change set.
	Job     format.ID
	Changes format.Changes
	Groups  []Group
	// Counts counts the records by namespace and state.
	Counts map[pitr.Namespace]map[State]int64
	// Notes say in words what could not be looked at.
	Notes []string

	records *spill
	facts   []fact
	prober  *prober
}

// fact is what a plan keeps of a record in memory.
type fact struct {
	state State
	group int32
	// beaten says that another lost record is the survivor of one of its groups; live that a live one is.
	beaten, live bool
	due, noPlace bool
}

// A record is looked up with others of its collection, as many as these allow.
const (
	lookBatch = 1000
	lookBytes = 8 << 20
)

// Make reads the lost set of a job, looks every record up live, and says what has become of it. It writes nothing.
func Make(ctx context.Context, deps Deps, id format.ID) (*Plan, error) {
	deps = deps.withDefaults()
	job, err := lostSetOf(ctx, deps, id)
	if err != nil {
		return nil, err
	}
	live, err := deps.Target.Catalog(ctx, job.Changes.Scope)
	if err != nil {
		return nil, fmt.Errorf("list the collections: %w", err)
	}
	p := &planner{Deps: deps, plan: &Plan{Job: id, Changes: *job.Changes, Counts: map[pitr.Namespace]map[State]int64{},
		prober: newProber(deps.Live, live)}, holders: map[uint64][]pitr.Key{}, expiries: expiriesOf(live)}
	if p.plan.records, err = newSpill(deps.WorkFolder); err != nil {
		return nil, err
	}
	if err := p.run(ctx); err != nil {
		return nil, errorsClosing(p.plan, &pitr.Error{Op: "plan what to put back of job " + string(id), Err: err})
	}
	return p.plan, nil
}

func errorsClosing(plan *Plan, err error) error {
	_ = plan.Close() // the other error is the one to tell
	return err
}

// expiriesOf gives the rules by which the server removes documents, by collection.
func expiriesOf(list []pitr.Collection) map[pitr.Namespace][]history.Expiry {
	rules := map[pitr.Namespace][]history.Expiry{}
	for _, collection := range list {
		rules[collection.NS] = history.Expiries(collection)
	}
	return rules
}

// lostSetOf reads a job and refuses one whose lost set is none, or none any more.
func lostSetOf(ctx context.Context, deps Deps, id format.ID) (catalog.Job, error) {
	op := "read the lost set of job " + string(id)
	job, err := restore.Sound(ctx, deps.Deps, id)
	if err != nil {
		return job, err
	}
	switch kind := job.Intent.Kind; {
	case kind == format.JobReconcile && job.Intent.Job != "":
		return job, pitr.Refusef(op, "name the job whose records it put back: "+string(job.Intent.Job), "it is a reconcile, which takes nothing away")
	case kind != format.JobRewind && kind != format.JobRebuild && kind != format.JobCompare:
		return job, pitr.Refusef(op, "`pitr jobs` lists the jobs that took records away", "a job of kind %s has no lost set", kind)
	case !job.Done() && job.Result == nil && kind == format.JobCompare:
		return job, pitr.Refusef(op, "make another one with `pitr diff SNAPSHOT live --as-lost-set`", "the comparison was cut off")
	case !job.Done() && job.Result == nil:
		return job, pitr.Refusef(op, fmt.Sprintf("finish it with `pitr resume %[1]s`, or take it back with `pitr undo %[1]s`", id), "the job has not ended")
	case !job.Done():
		return job, pitr.Refusef(op, "`pitr jobs` lists the jobs that are done", "the job was not done (%s), so that it took nothing away", job.Result.Outcome)
	case job.Changes == nil:
		return job, pitr.Corruptf(op, "its change set is missing")
	}
	by, err := restore.UndoneBy(ctx, deps.Deps, id)
	if err != nil {
		return job, err
	}
	if by != "" {
		return job, pitr.Refusef(op, "what it took away is live again; `pitr jobs` lists the jobs that stand", "the job was undone by job %s", by)
	}
	return job, nil
}

// planner makes a plan.
type planner struct {
	Deps
	plan     *Plan
	expiries map[pitr.Namespace][]history.Expiry
	batch    []pitr.Change
	bytes    int
	claims   []claim
	// holders are the live documents that hold a value which a record would take.
	holders map[uint64][]pitr.Key
}

func (p *planner) run(ctx context.Context) error {
	total := int64(0)
	for _, n := range p.plan.Changes.Documents {
		total += n
	}
	p.Progress.Start("plan", pitr.Amount{Count: total})
	defer p.Progress.Finish("plan")
	for document, err := range p.Repository.ChangeDocuments(ctx, p.plan.Changes) {
		if err != nil {
			return fmt.Errorf("read the change set: %w", err)
		}
		if format.IsCatalogStep(document) {
			continue
		}
		change, err := format.DecodeChange(bytes.Clone(document))
		if err != nil {
			return err
		}
		if err := p.add(ctx, change, len(document)); err != nil {
			return err
		}
	}
	if err := p.flush(ctx); err != nil {
		return err
	}
	if err := p.plan.records.Flush(); err != nil {
		return err
	}
	p.plan.Notes = p.plan.prober.notes
	return p.group()
}

func (p *planner) add(ctx context.Context, change pitr.Change, size int) error {
	if len(p.batch) > 0 && (change.NS != p.batch[0].NS || len(p.batch) >= lookBatch || p.bytes >= lookBytes) {
		if err := p.flush(ctx); err != nil {
			return err
		}
	}
	p.batch = append(p.batch, change)
	p.bytes += size
	return nil
}

// flush classifies the records that were gathered, all of one collection.
func (p *planner) flush(ctx context.Context) error {
	if len(p.batch) == 0 {
		return nil
	}
	ns := p.batch[0].NS
	live, err := restore.LookUp(ctx, p.Target, ns, p.batch)
	if err != nil {
		return err
	}
	noPlace := p.plan.prober.noPlace(ns)
	first := int32(len(p.plan.facts)) //nolint:gosec // a change set is bounded
	var questions []question
	for _, change := range p.batch {
		now := live[change.Key.Equal()]
		f := fact{state: stateOf(change, now), noPlace: noPlace != ""}
		f.due = history.Due(p.expiries[ns], change.E, p.Now())
		if wantsBack(f.state, change) && !f.noPlace {
			questions = append(questions, question{record: int32(len(p.plan.facts)), key: change.Key, document: change.E, live: now}) //nolint:gosec // bounded
		}
		p.plan.facts = append(p.plan.facts, f)
		if err := p.plan.records.Append(change, now); err != nil {
			return err
		}
	}
	if err := p.probe(ctx, ns, questions); err != nil {
		return err
	}
	counts := p.plan.Counts[ns]
	if counts == nil {
		counts = map[State]int64{}
		p.plan.Counts[ns] = counts
	}
	for _, f := range p.plan.facts[first:] {
		counts[f.state]++
	}
	p.Progress.Advance("plan", pitr.Amount{Count: int64(len(p.batch)), Bytes: int64(p.bytes)})
	p.batch, p.bytes = p.batch[:0], 0
	return nil
}

// probe looks for live documents that hold what the records of a collection would take.
func (p *planner) probe(ctx context.Context, ns pitr.Namespace, questions []question) error {
	found, err := p.plan.prober.ask(ctx, ns, questions)
	if err != nil {
		return err
	}
	p.claims = append(p.claims, found.takes...)
	for _, held := range found.holdings {
		p.holders[held.value] = addKey(p.holders[held.value], held.key)
	}
	own := make(map[int32]string, len(questions))
	for _, each := range questions {
		own[each.record] = each.key.Equal()
	}
	for _, taken := range found.takes {
		f := &p.plan.facts[taken.record]
		others := slices.ContainsFunc(p.holders[taken.value], func(key pitr.Key) bool { return key.Equal() != own[taken.record] })
		f.live = f.live || others
		if others && f.state == StateLost {
			f.state = StateCameBackElsewhere
		}
	}
	return nil
}

func addKey(keys []pitr.Key, key pitr.Key) []pitr.Key {
	for _, known := range keys {
		if known.Equal() == key.Equal() {
			return keys
		}
	}
	return append(keys, key)
}

// noPlace says why a collection takes no single documents; empty when it does.
func (p *prober) noPlace(ns pitr.Namespace) string {
	collection := p.collections[ns]
	switch {
	case collection == nil:
		return "its collection does not exist now"
	case collection.Type != pitr.TypeCollection && collection.Type != "":
		return "its name is that of a " + string(collection.Type) + " now"
	case collection.IsCapped():
		return "its collection is capped"
	}
	return ""
}

// Len counts the records.
func (p *Plan) Len() int { return len(p.facts) }

// Records yields every record in the order of the change set.
func (p *Plan) Records() iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for i := range p.facts {
			record, err := p.record(i)
			if !yield(record, err) || err != nil {
				return
			}
		}
	}
}

// record gives one record, by its place.
func (p *Plan) record(i int) (Record, error) {
	change, live, err := p.records.At(i)
	if err != nil {
		return Record{}, err
	}
	f := p.facts[i]
	chosen := f.suggestion()
	return Record{Token: Token(p.Changes, change.N), Change: change, Live: live, State: f.state, Group: int(f.group),
		Merge: mergeOf(f.state, change, live), Suggested: chosen.decision, Reason: chosen.reason}, nil
}

func (f fact) suggestion() suggestion {
	switch {
	case f.state != StateLost:
		return suggestions[f.state]
	case f.noPlace:
		return suggestNoPlace
	case f.due:
		return suggestDue
	case f.beaten:
		return suggestDuplicate
	case f.group > 0:
		return suggestSurvivor
	}
	return suggestions[StateLost]
}

// Close gives the space of the plan back.
func (p *Plan) Close() error { return p.records.Close() }
