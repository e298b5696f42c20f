package restore

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/catalog"
	"pitr/format"
	"pitr/guard"
	"pitr/history"
)

// Request is what a person asks for.
type Request struct {
	// To is T; Asked is what was typed for it.
	To    pitr.Timestamp
	Asked string
	Scope pitr.Scope
	// Bulk asks for a snapshot as evidence even where the archive can seal the present state.
	Bulk bool
}

// Intent is what a job will do, as a value: it can be shown, saved, confirmed and run as it stands.
type Intent struct {
	format.Intent
	Detail Detail
	// Refused lists what stands in the way; a job does not run while there is any.
	Refused []Refusal
	// Catalog lists the catalog writes with their price.
	Catalog []CatalogPrice
	// Writers are who could be writing when the intent was made, those who are first.
	Writers []pitr.Writer
}

// Detail is what an intent remembers beside what every job has. It is part of what is published.
type Detail struct {
	// Way is how writes of others will be kept away, WayReason why so.
	Way       guard.Way `bson:"way"`
	WayReason string    `bson:"wayReason,omitempty"`
	// Bulk says that a snapshot will be taken as evidence; otherwise the archive seals the present state.
	Bulk bool `bson:"bulk"`
	// Catalog is the digest of the live catalog in scope when the intent was made.
	Catalog []byte `bson:"catalog"`
	// Jobs are earlier jobs that wrote within the gap, oldest first: the lost set of the first one is the one to look at.
	Jobs []string `bson:"jobs,omitempty"`
	// Plan is the version of the rules by which writes are ordered; a job is resumed by the version that began it.
	Plan int32 `bson:"plan"`
}

// planVersion changes when the order of writes for the same change set does.
const planVersion = 1

// Refusal is one thing that a rewind leaves alone, with the way out.
type Refusal struct {
	NS     pitr.Namespace
	Reason string
	Hint   string
}

// CatalogPrice is one catalog write and what it costs.
type CatalogPrice struct {
	Step  string
	NS    pitr.Namespace
	Price string
	// Reads is the number of documents that an index build has to read.
	Reads int64
}

// validity is how long an intent may be run.
const validity = 30 * time.Minute

// Plan makes the intent of a rewind. It writes nothing, neither to the cluster nor to the repository.
func Plan(ctx context.Context, deps Deps, request Request) (Intent, error) {
	deps = deps.WithDefaults()
	p := planner{deps: deps, request: request}
	for _, step := range []func(context.Context) error{p.meetCluster, p.reach, p.price, p.compareCatalogs, p.describe} {
		if err := step(ctx); err != nil {
			return Intent{}, &pitr.Error{Op: "plan the restore", Err: err}
		}
	}
	return p.intent, nil
}

// planner gathers the parts of an intent.
type planner struct {
	deps    Deps
	request Request
	intent  Intent
	spent   history.Price
	// live is the catalog now, at that of T.
	live, at []pitr.Collection
	server   pitr.Server
}

// meetCluster learns which cluster this is and whether it is the repository's.
func (p *planner) meetCluster(ctx context.Context) error {
	cluster, server, err := p.deps.cluster(ctx)
	if err != nil {
		return err
	}
	p.server = server
	if err := mayWrite(ctx, p.deps); err != nil {
		return err
	}
	branch, err := branchOf(ctx, p.deps, server)
	if err != nil {
		return err
	}
	id, err := p.deps.Repository.NewID()
	if err != nil {
		return err
	}
	now := p.deps.Now().UTC()
	p.intent.Intent = format.Intent{ID: id, Kind: format.JobRewind, Created: now, Expires: now.Add(validity),
		Operator: p.deps.Operator, Pitr: p.deps.Version, Cluster: cluster, Branch: branch,
		To: p.request.To, Asked: p.request.Asked, Scope: p.request.Scope}
	block, err := p.deps.Target.WriteBlock(ctx)
	if err != nil {
		return fmt.Errorf("ask about the write block: %w", err)
	}
	if block.Standing {
		refusal, err := whoseBlock(ctx, p.deps)
		if err != nil {
			return err
		}
		p.refuse(refusal)
	}
	p.intent.Detail.Plan = planVersion
	p.intent.Detail.Way, p.intent.Detail.WayReason = guard.ChooseWay(block)
	return nil
}

// whoseBlock says who has to do something about a block that stands: whoever goes on with the job that left it, or
// somebody whom pitr does not know.
func whoseBlock(ctx context.Context, deps Deps) (Refusal, error) {
	jobs, err := deps.Repository.Jobs(ctx)
	if err != nil {
		return Refusal{}, err
	}
	for _, job := range slices.Backward(jobs) {
		if job.Result != nil {
			continue
		}
		left, err := standsFor(ctx, deps, job)
		if err != nil && pitr.KindOf(err) != pitr.KindHole { // of an old job the oplog tells nothing any more
			return Refusal{}, err
		}
		if left {
			return Refusal{Reason: fmt.Sprintf("job %s was stopped and left its write block", job.ID),
				Hint: fmt.Sprintf("go on with `pitr resume %[1]s`, or lift the block with `pitr unfreeze %[1]s`", job.ID)}, nil
		}
	}
	return Refusal{Reason: "a write block stands that no job of this repository has announced",
		Hint: "`pitr jobs` shows whether a stopped job left it; otherwise only who set it should lift it"}, nil
}

// reach brings the archive up to now and looks for the way to T.
func (p *planner) reach(ctx context.Context) error {
	if err := p.catchUp(ctx); err != nil {
		return err
	}
	if p.request.To > p.intent.Through {
		return pitr.Errorf(pitr.KindHole, "", "choose a moment up to "+p.intent.Through.Clock(), "%s lies in the future", p.request.To.Clock())
	}
	timeline, err := p.deps.Repository.Timeline(ctx)
	if err != nil {
		return err
	}
	route, err := timeline.ReachOn(p.intent.Branch, p.request.To, p.request.Scope)
	if err != nil {
		return err
	}
	p.intent.Base = route.Snapshot.Snapshot
	p.intent.Detail.Bulk = p.request.Bulk
	gap := p.gap()
	for _, line := range timeline.Lines {
		for _, job := range line.Jobs {
			if line.Branch == p.intent.Branch && gap.Contains(job.First) {
				p.intent.Detail.Jobs = append(p.intent.Detail.Jobs, string(job.Job))
				p.refuseUnended(job)
			}
		}
	}
	slices.Sort(p.intent.Detail.Jobs)
	return nil
}

// refuseUnended refuses to work over a job that may go on.
func (p *planner) refuseUnended(job catalog.Interval) {
	if job.Last == pitr.MaxTimestamp {
		p.refuse(Refusal{Reason: fmt.Sprintf("job %s has not ended", job.Job),
			Hint: fmt.Sprintf("run `pitr resume %[1]s` or `pitr undo %[1]s` first", job.Job)})
	}
}

// catchUp has everything archived that the cluster shows now.
func (p *planner) catchUp(ctx context.Context) error {
	timeline, err := p.deps.Repository.Timeline(ctx)
	if err != nil {
		return err
	}
	windows := timeline.Windows(p.intent.Branch)
	if len(windows) == 0 {
		return pitr.Refusef("catch up with the oplog", "run `pitr archive run` or `pitr snapshot take` first", "nothing is archived yet")
	}
	newest, err := guard.Newest(ctx, p.deps.Target, pitr.OpTime{TS: windows[len(windows)-1].Through})
	if pitr.KindOf(err) == pitr.KindHole {
		return pitr.Refusef("catch up with the oplog", wrongCluster, "the cluster does not have the newest archived entry: %w", err)
	}
	if err != nil {
		return err
	}
	archived, err := p.deps.Archive.Through(ctx, newest.TS)
	if err != nil {
		return fmt.Errorf("catch up with the oplog: %w", err)
	}
	p.intent.Through = archived.TS
	return nil
}

func (p *planner) gap() pitr.Window {
	return pitr.Window{After: p.request.To, Through: p.intent.Through}
}

// price counts what the gap touched.
func (p *planner) price(ctx context.Context) error {
	var err error
	if p.spent, err = p.deps.Past.Price(ctx, p.gap(), p.request.Scope); err != nil {
		return fmt.Errorf("count what the gap touched: %w", err)
	}
	p.intent.Touched = map[pitr.Class]int64{}
	for _, classes := range p.spent.Touched {
		for class, count := range classes {
			p.intent.Touched[class] += count
		}
	}
	p.intent.Namespaces = len(p.spent.Touched)
	return nil
}

// compareCatalogs finds what the catalog needs, and what a rewind cannot do.
func (p *planner) compareCatalogs(ctx context.Context) error {
	var err error
	if p.live, err = p.deps.Target.Catalog(ctx, p.request.Scope); err != nil {
		return fmt.Errorf("list the collections: %w", err)
	}
	p.intent.Detail.Catalog = digestOf(p.live)
	if p.at, err = p.deps.Past.Catalog(ctx, p.request.To, p.request.Scope); err != nil {
		return fmt.Errorf("fold the catalog at T: %w", err)
	}
	for _, refusal := range refusals(p.live, p.at, p.spent, p.request.Scope) {
		p.refuse(refusal)
	}
	plan, err := guard.PlanTo(guard.Task{Changes: guard.InMemory{}, E: p.live, T: p.at, Blocked: true})
	if pitr.KindOf(err) == pitr.KindUnsupported {
		p.refuse(Refusal{Reason: err.Error(), Hint: pitr.HintOf(err)})
		return nil
	}
	if err != nil {
		return err
	}
	for _, phase := range plan.Phases {
		for _, step := range phase.Catalog {
			priced, err := p.priceOf(ctx, step)
			if err != nil {
				return err
			}
			p.intent.Catalog = append(p.intent.Catalog, priced)
		}
	}
	p.intent.Steps = len(p.intent.Catalog)
	return nil
}

func (p *planner) refuse(r Refusal) { p.intent.Refused = append(p.intent.Refused, r) }

// describe fills in what people want to read: ways, the time it will take, who is writing.
func (p *planner) describe(ctx context.Context) error {
	p.intent.Ways = waysOf(p.spent, p.intent.Refused)
	var err error
	if p.intent.Estimate, err = p.estimate(ctx); err != nil {
		return err
	}
	if p.deps.Writers != nil {
		if p.intent.Writers, err = p.deps.Writers.Writers(ctx); err != nil {
			p.deps.Log.WarnContext(ctx, "who is writing could not be asked", "error", err)
		}
	}
	content, err := bson.Marshal(p.intent.Detail)
	if err != nil {
		return fmt.Errorf("write the intent: %w", err)
	}
	p.intent.Intent.Detail = content
	return nil
}

// digestOf gives a digest of a catalog that changes with any name, identity, option or index.
func digestOf(collections []pitr.Collection) []byte {
	var content bytes.Buffer
	for _, c := range collections {
		fmt.Fprintf(&content, "%q %s %q %x\n", c.NS, c.UUID, c.Type, []byte(c.Options))
		specs := make([]string, 0, len(c.Indexes))
		for _, spec := range c.Indexes {
			specs = append(specs, fmt.Sprintf("%x", []byte(spec)))
		}
		slices.Sort(specs)
		fmt.Fprintf(&content, "%q\n", specs)
	}
	digest := format.Sum(content.Bytes())
	return digest[:]
}
