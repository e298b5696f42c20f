package reconcile

import (
	"bytes"
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/format"
	"pitr/guard"
	"pitr/history"
	"pitr/restore"
)

// LeftOut is a record that was decided about and is not written, with the reason.
type LeftOut struct {
	// Token is empty where only what a killed attempt has recorded is known.
	Token  string
	NS     pitr.Namespace
	Key    pitr.Key
	Reason string
}

// Proposal is what an apply would do now: it can be shown, and run once it is confirmed. Close it after use.
type Proposal struct {
	Intent restore.Intent
	// Writes counts the documents to insert, change and delete, by the class that the job's change set gives them: a
	// document that the job inserts is one that its undo deletes.
	Writes map[pitr.Class]int64
	// Nothing counts the records that are already as they were decided to be.
	Nothing int64
	LeftOut []LeftOut
	// Notes say in words what could not be looked at beforehand.
	Notes []string

	changes *restore.Spool
	catalog []pitr.Collection
	lost    format.Changes
}

// Total counts the documents to write.
func (p *Proposal) Total() int64 {
	var total int64
	for _, n := range p.Writes {
		total += n
	}
	return total
}

// Close gives the space of the proposal back.
func (p *Proposal) Close() error { return p.changes.Close() }

// Propose plans against what is live now, applies the decisions, and finds out everything that the database would refuse.
// It writes nothing to the cluster.
func Propose(ctx context.Context, deps Deps, id format.ID, decisions Decisions) (*Proposal, error) {
	deps = deps.withDefaults()
	plan, err := Make(ctx, deps, id)
	if err != nil {
		return nil, err
	}
	proposal, err := propose(ctx, deps, plan, decisions)
	_ = plan.Close() // nothing of it is used any more
	if err != nil {
		return nil, &pitr.Error{Op: "decide about the records of job " + string(id), Err: err}
	}
	proposal.Intent, err = restore.Begin(ctx, deps.Deps, restore.Start{Kind: format.JobReconcile, Job: id,
		To: plan.Changes.Gap.After, Scope: plan.Changes.Scope, Touched: proposal.Writes})
	if err != nil {
		_ = proposal.Close() // the other error is the one to tell
		return nil, err
	}
	return proposal, nil
}

// proposer turns decisions into writes.
type proposer struct {
	Deps
	plan     *Plan
	prober   *prober
	expiries map[pitr.Namespace][]history.Expiry
	proposal *Proposal
	// drafts are all writes that were decided about, candidates what is known of each.
	drafts     *restore.Spool
	candidates []candidate
	takes      []claim
	frees      map[claimOf]bool
	holders    map[uint64][]string
	questions  []question
	ns         pitr.Namespace
	size       int
}

// candidate is a write that was decided about.
type candidate struct {
	n int64
	// first and end bound its claims; beaten says that the plan suggests another one of its group.
	first, end int
	beaten     bool
	reason     string
}

// claimOf is a value of one candidate.
type claimOf struct {
	value     uint64
	candidate int32
}

func propose(ctx context.Context, deps Deps, plan *Plan, decisions Decisions) (*Proposal, error) {
	catalog, err := deps.Target.Catalog(ctx, plan.Changes.Scope)
	if err != nil {
		return nil, fmt.Errorf("list the collections: %w", err)
	}
	p := proposer{Deps: deps, plan: plan, prober: newProber(deps.Live, catalog), expiries: expiriesOf(catalog),
		proposal: &Proposal{catalog: catalog, lost: plan.Changes, Writes: map[pitr.Class]int64{}}, frees: map[claimOf]bool{}, holders: map[uint64][]string{}}
	if p.drafts, err = restore.NewSpool(deps.WorkFolder); err != nil {
		return nil, err
	}
	defer func() { _ = p.drafts.Close() }()
	for record, err := range plan.Records() {
		if err != nil {
			return nil, err
		}
		if err := p.decide(ctx, record, decisions); err != nil {
			return nil, err
		}
	}
	if err := p.probe(ctx); err != nil {
		return nil, err
	}
	if err := p.drafts.Flush(); err != nil {
		return nil, err
	}
	if err := p.avoidDuplicates(); err != nil {
		return nil, err
	}
	p.proposal.Notes = p.prober.notes
	return p.proposal, p.keep()
}

// decide drafts the write that a decision about a record comes to.
func (p *proposer) decide(ctx context.Context, record Record, decisions Decisions) error {
	decision, decided := decisions.Of(record.Change.N)
	if !decided || decision == DecisionLeave {
		return nil
	}
	if !decision.IsKnown() {
		return pitr.Errorf(pitr.KindInvalid, "read the decisions", "docs/reconcile.md lists the decisions", "%.40q is no decision", string(decision))
	}
	made := resolve(record, decision)
	if made.isNothing() {
		p.proposal.Nothing++
		return nil
	}
	change := record.Change
	draft := pitr.Change{NS: change.NS, Key: change.Key, E: record.Live, T: made.result, Class: pitr.Classify(record.Live, made.result),
		First: change.First, Last: change.Last, Ops: change.Ops}
	if reason := p.obstacle(draft); made.reason == "" {
		made.reason = reason
	}
	if made.reason != "" {
		p.leaveOut(change, record.Token, made.reason)
		return nil
	}
	draft.UUID = p.prober.collections[change.NS].UUID
	if record.Live != nil && made.result != nil { // the live way of storing the _id stands
		if key, err := pitr.KeyOf(record.Live); err == nil {
			draft.Key = key
		}
	}
	if len(p.questions) > 0 && (change.NS != p.ns || len(p.questions) >= lookBatch || p.size >= lookBytes) {
		if err := p.probe(ctx); err != nil {
			return err
		}
	}
	number := int32(len(p.candidates)) //nolint:gosec // a change set is bounded
	p.ns, p.size = change.NS, p.size+len(draft.E)+len(draft.T)
	p.questions = append(p.questions, question{record: number, key: draft.Key, document: draft.T, live: draft.E})
	p.candidates = append(p.candidates, candidate{n: change.N, beaten: record.Suggested != DecisionPutBack && record.Group > 0})
	return p.drafts.Append(draft)
}

// obstacle says why a document cannot be written, whatever else the database holds; empty when it can.
func (p *proposer) obstacle(draft pitr.Change) string {
	switch {
	case p.prober.noPlace(draft.NS) != "":
		return p.prober.noPlace(draft.NS)
	case draft.T == nil:
		return ""
	case history.Due(p.expiries[draft.NS], draft.T, p.Now()):
		return "a TTL index would remove it at once"
	case guard.Unwritable(draft.T) != "":
		return "the database would not store it as it was: " + guard.Unwritable(draft.T)
	case len(draft.T) > maxDocument:
		return "it would be larger than the database allows"
	}
	return ""
}

// maxDocument is the size that servers allow.
const maxDocument = 16 << 20

func (p *proposer) leaveOut(change pitr.Change, token, reason string) {
	p.proposal.LeftOut = append(p.proposal.LeftOut, LeftOut{Token: token, NS: change.NS, Key: change.Key.Clone(), Reason: reason})
}

// probe asks the live collection about the drafts that were gathered.
func (p *proposer) probe(ctx context.Context) error {
	if len(p.questions) == 0 {
		return nil
	}
	found, err := p.prober.ask(ctx, p.ns, p.questions)
	if err != nil {
		return err
	}
	perCandidate := map[int32][]claim{}
	for _, taken := range found.takes {
		perCandidate[taken.record] = append(perCandidate[taken.record], taken)
	}
	for _, each := range p.questions {
		c := &p.candidates[each.record]
		c.first = len(p.takes)
		p.takes = append(p.takes, perCandidate[each.record]...)
		c.end = len(p.takes)
	}
	for _, freed := range found.frees {
		p.frees[claimOf{freed.value, freed.record}] = true
	}
	for _, held := range found.holdings {
		p.holders[held.value] = append(p.holders[held.value], nameOf(p.ns, held.key))
	}
	if err := p.validate(ctx); err != nil {
		return err
	}
	p.questions, p.size = p.questions[:0], 0
	return nil
}

func nameOf(ns pitr.Namespace, key pitr.Key) string { return ns.String() + "\x00" + key.Equal() }

// validate asks the server which of the gathered documents the collection's validator would refuse. Writes of jobs bypass
// it, since a restore has to; what people put back should not.
func (p *proposer) validate(ctx context.Context) error {
	options := p.prober.collections[p.ns].Options
	validator, has := options.Lookup("validator").DocumentOK()
	level, _ := options.Lookup("validationLevel").StringValueOK()
	action, _ := options.Lookup("validationAction").StringValueOK()
	if !has || len(validator) <= len(emptyDocument) || level == "off" || action == "warn" {
		return nil
	}
	collation, _ := options.Lookup("collation").DocumentOK()
	condition := pitr.Condition{DB: p.ns.DB, Filter: validator, Collation: collation}
	var results, lives []bson.Raw
	for _, each := range p.questions {
		if each.document != nil {
			results = append(results, each.document)
		}
		if each.document != nil && each.live != nil && level == "moderate" {
			lives = append(lives, each.live)
		}
	}
	passing, err := p.matching(ctx, condition, results)
	if pitr.KindOf(err) == pitr.KindUnsupported {
		p.prober.note("the server cannot be asked what the validator of %s would refuse, and pitr's writes bypass it", p.ns)
		return nil
	}
	if err != nil {
		return fmt.Errorf("ask the validator of %s: %w", p.ns, err)
	}
	// The level moderate does not judge updates of documents that break the rule already.
	sound, err := p.matching(ctx, condition, lives)
	if err != nil {
		return fmt.Errorf("ask the validator of %s: %w", p.ns, err)
	}
	for _, each := range p.questions {
		exempt := level == "moderate" && each.live != nil && !sound[each.key.Equal()]
		if each.document != nil && !passing[each.key.Equal()] && !exempt {
			p.candidates[each.record].reason = "the validator of the collection refuses it"
		}
	}
	return nil
}

func (p *proposer) matching(ctx context.Context, condition pitr.Condition, documents []bson.Raw) (map[string]bool, error) {
	if len(documents) == 0 {
		return nil, nil
	}
	ids, err := p.Live.Matching(ctx, condition, documents)
	if err != nil {
		return nil, err
	}
	return keysOf(ids)
}

// keep makes the proposal of the drafts that nothing stands against.
func (p *proposer) keep() error {
	kept, err := restore.NewSpool(p.WorkFolder)
	if err != nil {
		return err
	}
	p.proposal.changes = kept
	for i, c := range p.candidates {
		draft, err := p.drafts.At(i)
		if err != nil {
			return err
		}
		if c.reason != "" {
			p.leaveOut(draft, Token(p.plan.Changes, c.n), c.reason)
			continue
		}
		if bytes.Equal(draft.E, draft.T) {
			return pitr.Errorf(pitr.KindUnexpected, "make the change set", "report this defect", "a write of %s changes nothing", draft.Key)
		}
		p.proposal.Writes[draft.Class]++
		if err := kept.Append(draft); err != nil {
			return err
		}
	}
	return kept.Flush()
}
