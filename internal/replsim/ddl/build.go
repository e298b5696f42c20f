package ddl

import (
	"context"
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/internal/replsim/command"
	"pitr/internal/replsim/mql/value"
	"pitr/internal/replsim/store"
	"pitr/internal/replsim/write"
)

// whole is the build of all indexes that are new.
func (job *indexing) whole() store.Build { return store.Build{ID: job.build, Indexes: job.fresh} }

// createOnData builds in two phases, joined by the identity of the build. Between them others may write, and a write block
// ends the build; what stands against it shows at the end.
func (k *Catalog) createOnData(ctx context.Context, r *command.Request, job *indexing) error {
	job.build = k.Store.NewUUID()
	if err := k.startBuild(ctx, r, job); err != nil {
		return err
	}
	if pause := k.Pause(); pause > 0 {
		timer := time.NewTimer(pause)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	var failed error
	var c *store.Collection
	err := k.Store.Retry(context.WithoutCancel(ctx), func() error {
		if c = k.find(job.ns, nil); c == nil || len(job.fresh) > 0 && c.IndexNamed(job.fresh[0].Name) != job.fresh[0] {
			failed = command.Errorf(276, "Index build failed: %s: Collection dropped or build aborted", job.build)
			return nil
		}
		failed = k.endBuild(c, r, job)
		r.Client.LastOp = k.Store.Written()
		if errors.Is(failed, store.ErrConflict) {
			return failed
		}
		return nil
	})
	if err != nil {
		return err
	}
	return k.buildFailure(failed, c, job)
}

func (k *Catalog) startBuild(ctx context.Context, r *command.Request, job *indexing) error {
	names := make(bson.A, len(job.fresh))
	for i, x := range job.fresh {
		names[i] = x.Name
	}
	return k.Store.Retry(ctx, func() error {
		c := k.find(job.ns, nil)
		if c == nil {
			return command.Errorf(command.NamespaceNotFound, "ns does not exist: %s", job.ns)
		}
		if k.Store.Blocked() == store.BlockOn && !write.MayBypass(r) && !store.Internal(r.DB) {
			k.Store.Burn(2)
			return k.startRefused(c, job)
		}
		err := k.note(func(u *store.Unit, builds *store.Collection) error {
			if noted, _ := builds.ByID(store.IDDocument(binary(job.build)).Lookup("_id"), store.Latest); noted != nil {
				return nil // by an attempt that met an open transaction
			}
			_, err := u.Insert(builds, value.Marshal(bson.D{
				{Key: "_id", Value: job.build.Binary()}, {Key: "collectionUUID", Value: c.UUID.Binary()},
				{Key: "commitQuorum", Value: "votingMembers"}, {Key: "indexNames", Value: names},
			}), store.Note{})
			return err
		})
		if err != nil {
			return err
		}
		u := k.begin(r)
		if err := u.StartBuild(c, job.whole()); err != nil {
			u.Abort()
			return err
		}
		u.Commit()
		return nil
	})
}

func (k *Catalog) startRefused(c *store.Collection, job *indexing) error {
	return command.Errorf(store.ErrBlocked.Code, "Index build failed: %s: Collection %s ( %s ) :: caused by :: Caught exception during index builder (%s) initialization on namespace%s (%s). %d index specs provided. First index spec: %s :: caused by :: %s",
		job.build, c.NS, c.UUID, job.build, c.NS, c.UUID, len(job.fresh), command.Shown(job.fresh[0].Spec), store.ErrBlocked.Message)
}

// note writes to config.system.indexBuilds, the members' common record of builds.
func (k *Catalog) note(run func(u *store.Unit, builds *store.Collection) error) error {
	builds := k.Store.Find("config.system.indexBuilds", store.Latest)
	if builds == nil {
		return nil
	}
	u := k.Store.Begin()
	if err := run(u, builds); err != nil {
		u.Abort()
		return err
	}
	u.Commit()
	return nil
}

// endBuild checks a build, reports this member ready, and commits or aborts.
func (k *Catalog) endBuild(c *store.Collection, r *command.Request, job *indexing) error {
	u := k.Store.Begin()
	u.Bypass = true
	err := u.CheckBuild(c, job.whole())
	if errors.Is(err, store.ErrConflict) {
		u.Abort()
		return err
	}
	if err == nil && k.Store.Blocked() == store.BlockOn && !write.MayBypass(r) {
		err = command.Errorf(276, "Index build aborted: %s: User writes blocked", job.build)
	}
	key := store.IDDocument(binary(job.build)).Lookup("_id")
	if noteErr := k.note(func(n *store.Unit, builds *store.Collection) error {
		record, doc := builds.ByID(key, store.Latest)
		if record == nil {
			return nil
		}
		ready := bson.E{Key: "commitReadyMembers", Value: bson.A{k.Host}}
		diff := value.Marshal(bson.D{{Key: "$v", Value: int32(2)}, {Key: "diff", Value: bson.D{{Key: "i", Value: bson.D{ready}}}}})
		return n.Replace(builds, record, store.Change{After: value.Marshal(append(value.Fields(doc), ready)), O: diff})
	}); noteErr != nil {
		return noteErr
	}
	if err == nil {
		err = u.CommitBuild(c, job.whole())
	} else if abortErr := u.AbortBuild(c, job.whole(), cause(err)); abortErr != nil {
		err = abortErr
	}
	u.Commit()
	if noteErr := k.note(func(n *store.Unit, builds *store.Collection) error {
		record, _ := builds.ByID(key, store.Latest)
		if record == nil {
			return nil
		}
		return n.Remove(builds, record, store.Note{})
	}); noteErr != nil {
		return noteErr
	}
	return err
}

func binary(u pitr.UUID) bson.RawValue {
	t, content, err := bson.MarshalValue(u.Binary())
	if err != nil {
		return bson.RawValue{}
	}
	return bson.RawValue{Type: t, Value: content}
}

// cause is the reason of an aborted build as its entry gives it.
func cause(err error) bson.Raw {
	f := command.FailureOf(err)
	d := bson.D{
		{Key: "ok", Value: false}, {Key: "code", Value: f.Code}, {Key: "codeName", Value: f.CodeName()}, {Key: "errmsg", Value: f.Message},
	}
	return value.Marshal(append(d, f.Extra...))
}

func (k *Catalog) buildFailure(err error, c *store.Collection, job *indexing) error {
	if err == nil || c == nil {
		return err
	}
	f := command.FailureOf(err)
	f.Message = "Index build failed: " + job.build.String() + ": Collection " + c.NS + " ( " + c.UUID.String() + " ) :: caused by :: " + f.Message
	return f
}
