package restore

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/catalog"
	"pitr/format"
	"pitr/guard"
)

// Contents reads all documents of a live collection, for the comparison after a copy.
type Contents interface {
	Scan(ctx context.Context, r pitr.Range) iter.Seq2[pitr.Batch, error]
}

// CopySource is what can be copied: catalog and documents as of a moment. Past is one.
type CopySource interface {
	Catalog(ctx context.Context, at pitr.Timestamp, scope pitr.Scope) ([]pitr.Collection, error)
	Documents(ctx context.Context, at pitr.Timestamp, collection pitr.Collection) iter.Seq2[bson.Raw, error]
}

// CopyDeps are what a copy works with. All but Workers, Operator, Version and Progress are required.
type CopyDeps struct {
	Repository *catalog.Repository
	Past       CopySource
	// Target is the cluster that gets the copy, Contents the same cluster for reading back.
	Target   guard.StagingTarget
	Contents Contents
	// Workers is the number of insert commands at a time, 4 when zero.
	Workers           int
	Operator, Version string
	Progress          pitr.Progress
}

func (d CopyDeps) withDefaults() CopyDeps {
	d.Workers = cmp.Or(max(d.Workers, 0), 4)
	d.Progress = cmp.Or(d.Progress, pitr.Silent)
	return d
}

// CopyRequest says what to copy, and where to.
type CopyRequest struct {
	At    pitr.Timestamp
	Asked string
	Scope pitr.Scope
	// Rename gives the name of the copy of a namespace; nil keeps the names.
	Rename func(pitr.Namespace) pitr.Namespace
	// Expire lets TTL indexes expire documents at once. Otherwise they are built with a time that never comes.
	Expire bool
}

// CopyIntent is what a copy will do.
type CopyIntent struct {
	format.Intent
	// Target is the cluster that gets the copy.
	Target pitr.Server
	// Collections are those of the past, with the names that their copies get.
	Collections []Copied
	// Warnings are what a copy cannot keep.
	Warnings []string
	request  CopyRequest
}

// Copied is one collection or view and its copy.
type Copied struct {
	From pitr.Collection
	To   pitr.Namespace
}

// PlanCopy makes the intent of writing a view of a moment into a cluster, under names that do not exist there. It writes
// nothing.
func PlanCopy(ctx context.Context, deps CopyDeps, request CopyRequest) (CopyIntent, error) {
	deps = deps.withDefaults()
	intent := CopyIntent{request: request}
	var err error
	if intent.Target, err = deps.Target.Server(ctx); err != nil {
		return intent, fmt.Errorf("ask the cluster who it is: %w", err)
	}
	collections, err := deps.Past.Catalog(ctx, request.At, request.Scope)
	if err != nil {
		return intent, fmt.Errorf("fold the catalog of the moment: %w", err)
	}
	for _, collection := range collections {
		copied := Copied{From: collection, To: collection.NS}
		if request.Rename != nil {
			copied.To = renameWith(request.Rename, collection.NS)
		}
		intent.Collections = append(intent.Collections, copied)
		if collection.IsCapped() {
			intent.Warnings = append(intent.Warnings, collection.NS.String()+" is capped: the order of documents that were written after the snapshot is not kept")
		}
	}
	if err := intent.check(ctx, deps); err != nil {
		return intent, err
	}
	id, err := deps.Repository.NewID()
	if err != nil {
		return intent, err
	}
	now := deps.Repository.Now().UTC()
	timeline, err := deps.Repository.Timeline(ctx)
	if err != nil {
		return intent, err
	}
	intent.Intent = format.Intent{ID: id, Kind: format.JobCopy, Created: now, Expires: now.Add(validity), Operator: deps.Operator, Pitr: deps.Version,
		Cluster: format.Cluster{Name: intent.Target.Member, Set: intent.Target.Set, SetID: intent.Target.SetID, Member: intent.Target.Member,
			Hosts: intent.Target.Hosts, Version: intent.Target.Version, FCV: intent.Target.FCV},
		Branch: timeline.Tip(), To: request.At, Asked: request.Asked, Scope: request.Scope, Namespaces: len(intent.Collections)}
	return intent, nil
}

// buckets is how the collection that holds the documents of a time-series collection is called.
const buckets = "system.buckets."

// renameWith names the copy of a namespace; the buckets of a time-series collection follow it.
func renameWith(rename func(pitr.Namespace) pitr.Namespace, ns pitr.Namespace) pitr.Namespace {
	if name, ok := strings.CutPrefix(ns.Collection, buckets); ok {
		to := rename(pitr.Namespace{DB: ns.DB, Collection: name})
		return pitr.Namespace{DB: to.DB, Collection: buckets + to.Collection}
	}
	return rename(ns)
}

// check refuses names that are taken, twice the same, the server's own, or those of the source itself.
func (i *CopyIntent) check(ctx context.Context, deps CopyDeps) error {
	const op = "plan the copy"
	branches, err := deps.Repository.Branches(ctx)
	if err != nil {
		return err
	}
	isSource := slices.ContainsFunc(branches.Items, func(b format.Branch) bool { return b.SetID != "" && b.SetID == i.Target.SetID })
	targets := map[pitr.Namespace]bool{}
	var scope pitr.Scope
	for _, each := range i.Collections {
		switch {
		case each.To.IsSystem():
			return pitr.Refusef(op, "choose another name", "%s belongs to the server", each.To)
		case targets[each.To]:
			return pitr.Refusef(op, "choose other names", "two collections would be called %s", each.To)
		case isSource && each.To == each.From.NS:
			return pitr.Refusef(op, "copy into another cluster, or under other names with --rename",
				"the target is the cluster itself, and %s would keep its name", each.To)
		}
		targets[each.To] = true
		scope.Only = append(scope.Only, each.To.KnownAs().String())
	}
	if len(targets) == 0 {
		return pitr.Refusef(op, "choose another moment or scope", "there is nothing to copy")
	}
	there, err := deps.Target.Catalog(ctx, scope)
	if err != nil {
		return fmt.Errorf("list the collections of the target: %w", err)
	}
	for _, collection := range there {
		if targets[collection.NS] {
			return pitr.Refusef(op, "choose another name with --rename, or drop it yourself", "%s exists in the target", collection.NS)
		}
	}
	return nil
}

// Confirm takes the host:port of the target as a person has typed it.
func (i CopyIntent) Confirm(typed string) (Confirmed, error) {
	if typed == "" || typed != i.Target.Member && !slices.Contains(i.Target.Hosts, typed) {
		return Confirmed{}, pitr.Refusef("confirm the target", "type the address of the target, or give --confirm-target "+i.Target.Member, "%.80q is not the address of the target", typed)
	}
	digest, err := Intent{Intent: i.Intent}.digest()
	return Confirmed{intent: digest}, err
}

// Copy performs a confirmed intent: each collection is filled under a name of the job's own, compared, indexed, and only
// then given its name. A copy that was stopped leaves whole collections and collections named pitr_<job>_<n>, which can be
// dropped.
func Copy(ctx context.Context, deps CopyDeps, intent CopyIntent, confirmed Confirmed) (Outcome, error) {
	deps = deps.withDefaults()
	outcome := Outcome{Job: intent.ID, Started: deps.Repository.Now(), Warnings: intent.Warnings}
	digest, err := Intent{Intent: intent.Intent}.digest()
	if err != nil {
		return outcome, err
	}
	if digest != confirmed.intent {
		return outcome, pitr.Refusef("check the intent", "plan the copy again", "it is not the intent that was confirmed")
	}
	if _, err := deps.Repository.PutObject(ctx, &intent.Intent); err != nil {
		return outcome, fmt.Errorf("publish the intent: %w", err)
	}
	c := copier{CopyDeps: deps, intent: intent, staging: guard.NewStaging(deps.Target)}
	err = c.copyAll(ctx)
	outcome.Written, outcome.Finished = c.written.Load(), deps.Repository.Now()
	outcome.Warnings = append(outcome.Warnings, c.warnings...)
	if err != nil && c.started {
		err = &pitr.Error{Kind: pitr.KindHalfway, Op: "copy " + string(intent.ID), Err: err, Hint: fmt.Sprintf(
			"collections that have their names are whole; those called %s* can be dropped; the source was not touched", c.stagingPrefix())}
	}
	result := format.Result{Job: intent.ID, Attempt: 1, Started: outcome.Started.UTC(), Finished: outcome.Finished.UTC(),
		Outcome: outcomeDone, Verified: err == nil, Written: outcome.Written}
	if err != nil {
		result.Outcome, result.Message = outcomeOf(pitr.KindOf(err)), err.Error()
	}
	if _, putErr := deps.Repository.PutObject(context.WithoutCancel(ctx), &result); putErr != nil && err == nil {
		err = fmt.Errorf("publish the result: %w", putErr)
	}
	return outcome, err
}

// neverExpires is how an index is built whose documents are not to expire yet: the largest time that servers take.
func neverExpires(spec bson.Raw) bson.Raw {
	elements, err := spec.Elements()
	if err != nil {
		return spec
	}
	var fields bson.D
	for _, element := range elements {
		if element.Key() == "expireAfterSeconds" {
			fields = append(fields, bson.E{Key: element.Key(), Value: int32(1<<31 - 1)})
			continue
		}
		fields = append(fields, bson.E{Key: element.Key(), Value: element.Value()})
	}
	content, err := bson.Marshal(fields)
	if err != nil {
		return spec
	}
	return content
}
