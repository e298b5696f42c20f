package restore

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/format"
	"pitr/guard"
)

const wrongCluster = "check the address of the cluster; one that was cloned or rebuilt needs a repository of its own: `pitr init`"

// branchOf gives the branch that the cluster is on, if the cluster is the repository's: set id and a known host.
func branchOf(ctx context.Context, deps Deps, server pitr.Server) (format.ID, error) {
	const op = "compare the cluster with the repository"
	switch {
	case server.Ability != pitr.AbilityFull:
		return "", pitr.Errorf(pitr.KindUnsupported, op, "use `pitr restore --into`, which needs no oplog",
			"the server is no replica set with an oplog: nothing in it can be rewound")
	case server.SetID == "":
		return "", pitr.Errorf(pitr.KindDenied, op, "give the restore user the role clusterMonitor",
			"the set id cannot be read, so that nobody can tell which cluster this is")
	}
	timeline, err := deps.Repository.Timeline(ctx)
	if err != nil {
		return "", err
	}
	branches, err := deps.Repository.Branches(ctx)
	if err != nil {
		return "", err
	}
	tip := timeline.Tip()
	for _, branch := range branches.Items {
		if branch.ID != tip {
			continue
		}
		known := slices.ContainsFunc(server.Hosts, func(host string) bool { return slices.Contains(branch.Hosts, host) })
		if branch.SetID != server.SetID || !known {
			return "", pitr.Refusef(op, wrongCluster, "the cluster (set %s, id %s) is not the one that this repository belongs to (set %s, id %s)",
				server.Set, server.SetID, branch.Set, branch.SetID)
		}
		return tip, nil
	}
	for _, damaged := range branches.Damaged {
		return "", &pitr.Error{Kind: pitr.KindOf(damaged.Err), Op: op, Err: fmt.Errorf("%s cannot be used: %w", damaged.Object, damaged.Err)}
	}
	return "", pitr.Refusef(op, "run `pitr archive run` or `pitr snapshot take` first", "the repository has no archive of any cluster")
}

// mayWrite refuses a login that lacks a right, before any work, and names the right.
func mayWrite(ctx context.Context, deps Deps) error {
	if deps.MissingRights == nil {
		return nil
	}
	missing, err := deps.MissingRights(ctx)
	if err != nil {
		return fmt.Errorf("ask for our rights: %w", err)
	}
	if len(missing) == 0 {
		return nil
	}
	return pitr.Errorf(pitr.KindDenied, "check our rights", "grant the roles restore, readWriteAnyDatabase and clusterMonitor to the restore user",
		"the login for writing lacks %s", strings.Join(missing, ", "))
}

// Confirmed proves that a person, or a script that was told so, named the cluster that an intent is for. Without it no job
// runs.
type Confirmed struct{ intent format.Digest }

// Confirm takes the name that was typed. Only the exact name of the cluster confirms: case, spaces and look-alikes do not.
func (i Intent) Confirm(typed string) (Confirmed, error) {
	if typed != i.Cluster.Name {
		return Confirmed{}, pitr.Refusef("confirm the target", "type the name of the cluster as `pitr init` was given it",
			"%.80q is not the name of the cluster", typed)
	}
	digest, err := i.digest()
	return Confirmed{intent: digest}, err
}

func (i Intent) digest() (format.Digest, error) {
	sealed, err := format.EncodeJSON(&i.Intent)
	return sealed.Digest, err
}

// Check refuses an intent that was not confirmed as it stands, is too old, or was made for another world.
func Check(ctx context.Context, deps Deps, intent Intent, confirmed Confirmed) error {
	const op, hint = "check the intent", "run the restore again: it shows what there is to do now"
	digest, err := intent.digest()
	switch {
	case err != nil:
		return err
	case digest != confirmed.intent:
		return pitr.Refusef(op, hint, "it is not the intent that was confirmed")
	case len(intent.Refused) > 0:
		first := intent.Refused[0]
		return pitr.Refusef(op, first.Hint, "%d things stand in the way, the first: %s %s", len(intent.Refused), nameOf(first.NS), first.Reason)
	case deps.Now().After(intent.Expires):
		return pitr.Refusef(op, hint, "it was made at %s and is not valid any more", intent.Created.Format("15:04:05 UTC"))
	}
	if err := mayWrite(ctx, deps); err != nil {
		return err
	}
	return sameWorld(ctx, deps, intent)
}

func nameOf(ns pitr.Namespace) string {
	if ns.IsZero() {
		return ""
	}
	return ns.String() + ":"
}

// sameWorld compares cluster and catalog with those that the intent was made for.
func sameWorld(ctx context.Context, deps Deps, intent Intent) error {
	const op, hint = "compare the cluster with the intent", "run the restore again: it shows what there is to do now"
	if err := SameCluster(ctx, deps, intent); err != nil {
		return err
	}
	live, err := deps.Target.Catalog(ctx, intent.Scope)
	if err != nil {
		return fmt.Errorf("list the collections: %w", err)
	}
	if !bytes.Equal(digestOf(live), intent.Detail.Catalog) {
		return pitr.Refusef(op, hint, "collections, options or indexes have changed since")
	}
	block, err := deps.Target.WriteBlock(ctx)
	if err != nil {
		return fmt.Errorf("ask about the write block: %w", err)
	}
	if way, reason := guard.ChooseWay(block); way != intent.Detail.Way {
		return pitr.Refusef(op, hint, "writes of others would be kept away by %s now (%s), not by %s", way, reason, intent.Detail.Way)
	}
	return nil
}

// SameCluster compares what identifies a cluster, field by field, and looks for the newest archived entry on it.
func SameCluster(ctx context.Context, deps Deps, intent Intent) error {
	const op = "compare the cluster with the intent"
	now, server, err := deps.cluster(ctx)
	if err != nil {
		return err
	}
	was := intent.Cluster
	hosts := func(list []string) []string { return slices.Sorted(slices.Values(list)) }
	for _, field := range []struct {
		name string
		same bool
	}{
		{"name", now.Name == was.Name}, {"set name", now.Set == was.Set}, {"set id", now.SetID == was.SetID},
		{"members", slices.Equal(hosts(now.Hosts), hosts(was.Hosts))}, {"version", now.Version == was.Version},
		{"feature compatibility version", now.FCV == was.FCV},
	} {
		if !field.same {
			return pitr.Refusef(op, wrongCluster, "its %s is another one than when the intent was made", field.name)
		}
	}
	branch, err := branchOf(ctx, deps, server)
	if err != nil {
		return err
	}
	if branch != intent.Branch {
		return pitr.Refusef(op, wrongCluster, "the archive has begun another history since")
	}
	for _, err := range deps.Target.Entries(ctx, intent.Through) {
		if pitr.KindOf(err) == pitr.KindHole {
			return pitr.Refusef(op, wrongCluster, "it does not have the newest archived entry: %w", err)
		}
		if err != nil {
			return fmt.Errorf("look for the newest archived entry: %w", err)
		}
		break
	}
	return nil
}

// LoadIntent reads a published intent back, to go on with its job.
func LoadIntent(published format.Intent) (Intent, error) {
	intent := Intent{Intent: published}
	if err := bson.Unmarshal(published.Detail, &intent.Detail); err != nil {
		return Intent{}, pitr.Corruptf("read the intent", "%w", err)
	}
	if intent.Detail.Plan != planVersion {
		return Intent{}, pitr.Refusef("read the intent", "use the pitr version that began the job ("+published.Pitr+")",
			"this pitr orders writes in another way than the one that began the job")
	}
	return intent, nil
}
