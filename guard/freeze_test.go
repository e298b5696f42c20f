package guard_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/guard"
	"pitr/internal/modelcluster"
)

var items = pitr.Namespace{DB: "shop", Collection: "items"}

// clock stands still but for sleeps; what happens in a sleep is the test's.
type clock struct {
	now   time.Time
	sleep func(n int)
	naps  int
}

func (c *clock) options(cluster *modelcluster.Cluster) guard.FreezeOptions {
	return guard.FreezeOptions{
		After:    pitr.OpTime{TS: cluster.Now(), Term: 1},
		Announce: func(context.Context, pitr.OpTime) error { return nil },
		Now:      func() time.Time { return c.now },
		Sleep: func(ctx context.Context, d time.Duration) error {
			c.now = c.now.Add(d)
			c.naps++
			if c.sleep != nil {
				c.sleep(c.naps)
			}
			return ctx.Err()
		},
	}
}

func shop(t *testing.T) *modelcluster.Cluster {
	t.Helper()
	cluster := modelcluster.New()
	cluster.Put(pitr.Collection{NS: items, UUID: pitr.UUID{7}, Indexes: []bson.Raw{index(t, "_id_", up("_id")), index(t, "sku", up("sku"), unique())}},
		item(t, 1, "a"), item(t, 2, "b"), item(t, 3, "c"))
	return cluster
}

func item(t *testing.T, id int32, sku string) bson.Raw {
	t.Helper()
	return raw(t, bson.D{{Key: "_id", Value: id}, {Key: "sku", Value: sku}})
}

func keyOf(t *testing.T, document bson.Raw) pitr.Key {
	t.Helper()
	key, err := pitr.KeyOf(document)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestBlockIsAnnouncedFirstAndRetried(t *testing.T) {
	cluster, c := shop(t), &clock{}
	cluster.BusyBlocks = 3
	options := c.options(cluster)
	var announced pitr.OpTime
	options.Announce = func(_ context.Context, newest pitr.OpTime) error {
		if len(cluster.Log()) != 0 {
			t.Error("something was switched before the announcement")
		}
		announced = newest
		return nil
	}
	cluster.NoOp()
	f, err := guard.Freeze(t.Context(), cluster, guard.WayBlock, options)
	if err != nil {
		t.Fatal(err)
	}
	if f.TS != cluster.Now() || announced.TS >= f.TS || announced.IsZero() || c.naps != 3 {
		t.Errorf("F %s, announced at %s, now %s, %d naps", f, announced, cluster.Now(), c.naps)
	}
	if err := cluster.UserWrite(items, keyOf(t, item(t, 1, "")), item(t, 1, "z")); err == nil {
		t.Error("a user could write under the block")
	}
	if lifted, err := guard.Lift(t.Context(), cluster, announced); !lifted || err != nil {
		t.Errorf("lift: %v %v", lifted, err)
	}
	if lifted, err := guard.Lift(t.Context(), cluster, announced); lifted || err != nil {
		t.Errorf("lift again: %v %v", lifted, err)
	}
}

func TestBlockOfSomebodyElseIsRefusedAndStays(t *testing.T) {
	cluster, c := shop(t), &clock{}
	before := pitr.OpTime{TS: cluster.Now(), Term: 1}
	if err := cluster.BlockWrites(t.Context()); err != nil {
		t.Fatal(err)
	}
	announced := pitr.OpTime{TS: cluster.Now(), Term: 1}
	if _, err := guard.Freeze(t.Context(), cluster, guard.WayBlock, c.options(cluster)); pitr.KindOf(err) != pitr.KindRefused {
		t.Errorf("freeze: %v", err)
	}
	if _, err := guard.Lift(t.Context(), cluster, announced); pitr.KindOf(err) != pitr.KindRefused {
		t.Errorf("lift: %v", err)
	}
	// Ours was lifted, and theirs set later: theirs stays.
	ours := before
	for range 2 {
		if err := cluster.UnblockWrites(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := cluster.BlockWrites(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := guard.Lift(t.Context(), cluster, ours); pitr.KindOf(err) != pitr.KindRefused {
		t.Errorf("lift of a later block: %v", err)
	}
	if block, _ := cluster.WriteBlock(t.Context()); !block.Standing {
		t.Error("the block of somebody else was lifted")
	}
}

func TestQuietEndsAtTheLastForeignWrite(t *testing.T) {
	cluster, c := shop(t).WithoutAuthentication(), &clock{}
	other := pitr.Namespace{DB: "elsewhere", Collection: "noise"}
	cluster.Put(pitr.Collection{NS: other, UUID: pitr.UUID{8}})
	options := c.options(cluster)
	options.Scope = pitr.Scope{Only: []string{"shop"}}
	var lastWrite pitr.Timestamp
	c.sleep = func(n int) {
		switch {
		case n < 20 && n%5 == 0:
			_ = cluster.UserWrite(items, keyOf(t, item(t, 1, "")), item(t, 1, "n"))
			lastWrite = cluster.Now()
		default: // out of scope
			_ = cluster.UserWrite(other, keyOf(t, item(t, 1, "")), item(t, 1, "n"))
		}
	}
	f, err := guard.Freeze(t.Context(), cluster, guard.WayQuiet, options)
	if err != nil {
		t.Fatal(err)
	}
	if quiet := int(f.TS.Seconds() - lastWrite.Seconds()); quiet < 28 || len(cluster.Log()) != 0 {
		t.Errorf("F is %d entries after the last foreign write, log %v", quiet, cluster.Log())
	}
}

// A writer that does not stop is refused before the first write. // case D11
func TestQuietIsRefusedWhileSomebodyWrites(t *testing.T) {
	cluster, c := shop(t).WithoutAuthentication(), &clock{}
	c.sleep = func(int) { _ = cluster.UserWrite(items, keyOf(t, item(t, 1, "")), item(t, 1, "n")) }
	_, err := guard.Freeze(t.Context(), cluster, guard.WayQuiet, c.options(cluster))
	if pitr.KindOf(err) != pitr.KindRefused || !strings.Contains(err.Error(), "shop.items") || pitr.HintOf(err) == "" {
		t.Errorf("freeze: %v", err)
	}
}

// rewindTask swaps the values of two documents, deletes one that T does not have, and brings one back.
func rewindTask(t *testing.T) guard.Task {
	t.Helper()
	change := func(e, at bson.Raw) pitr.Change {
		key := keyOf(t, slices.Concat(e, at)[:max(len(e), len(at))])
		return pitr.Change{NS: items, Key: key, E: e, T: at, Class: pitr.Classify(e, at)}
	}
	catalog, err := shop(t).Catalog(t.Context(), pitr.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	return guard.Task{E: catalog, T: catalog, Changes: guard.InMemory{
		change(item(t, 1, "a"), item(t, 1, "b")), change(item(t, 2, "b"), item(t, 2, "a")),
		change(item(t, 3, "c"), nil), change(nil, item(t, 4, "d")),
	}}
}

// The first write of somebody else stops the job before its next write, whatever the write is. // case D11
func TestFirstStrayStopsBeforeTheNextWrite(t *testing.T) {
	strays := map[string]func(c *modelcluster.Cluster) error{
		"insert elsewhere in scope": func(c *modelcluster.Cluster) error {
			return c.PrivilegedWrite(items, keyOf(t, item(t, 9, "")), item(t, 9, "x"))
		},
		"update of a touched key": func(c *modelcluster.Cluster) error {
			return c.PrivilegedWrite(items, keyOf(t, item(t, 1, "")), item(t, 1, "x"))
		},
		"delete of a key that T has": func(c *modelcluster.Cluster) error {
			return c.PrivilegedWrite(items, keyOf(t, item(t, 1, "")), nil)
		},
		"lifted block": func(c *modelcluster.Cluster) error { return c.UnblockWrites(t.Context()) },
		"index": func(c *modelcluster.Cluster) error {
			_, err := c.Apply(t.Context(), pitr.CreateIndexes{NS: items, Specs: []bson.Raw{index(t, "new", up("n"))}})
			return err
		},
		"drop": func(c *modelcluster.Cluster) error {
			c.Put(pitr.Collection{NS: pitr.Namespace{DB: "shop", Collection: "old"}, UUID: pitr.UUID{5}})
			_, err := c.Apply(t.Context(), pitr.DropCollection{NS: pitr.Namespace{DB: "shop", Collection: "old"}, UUID: pitr.UUID{5}})
			return err
		},
	}
	task := rewindTask(t)
	task.Limits.Writes = 2
	plan, err := guard.PlanTo(task)
	if err != nil {
		t.Fatal(err)
	}
	for name, stray := range strays {
		t.Run(name, func(t *testing.T) {
			cluster, c := shop(t), &clock{}
			f, err := guard.Freeze(t.Context(), cluster, guard.WayBlock, c.options(cluster))
			if err != nil {
				t.Fatal(err)
			}
			run := guard.Execution{Target: cluster, Plan: plan, Changes: task.Changes, Workers: 1,
				Lookout: guard.NewWatch(cluster, plan.Ledger(), guard.WatchOptions{From: f, Blocked: f})}
			writes := 0
			run.Record = func(context.Context, guard.PhaseName) error {
				err := stray(cluster)
				writes = len(cluster.Log())
				return err
			}
			var seen *guard.Stray
			err = run.Run(t.Context())
			if !errors.As(err, &seen) || pitr.KindOf(err) != pitr.KindConflict || seen.At.TS <= f.TS {
				t.Errorf("run: %v", err)
			}
			if len(cluster.Log()) != writes {
				t.Errorf("it went on writing: %v", cluster.Log())
			}
			if again := run.Lookout.Check(t.Context()); again == nil {
				t.Error("a stray was forgotten")
			}
		})
	}
}

// What the server itself expires is tolerated where the caller says that it is due, and nothing else is.
func TestExpiryIsToleratedByName(t *testing.T) {
	task := rewindTask(t)
	plan, err := guard.PlanTo(task)
	if err != nil {
		t.Fatal(err)
	}
	for _, due := range []bool{true, false} {
		cluster := shop(t).WithoutAuthentication()
		cluster.Put(pitr.Collection{NS: items, UUID: pitr.UUID{7}}, item(t, 8, "x"))
		options := guard.WatchOptions{From: pitr.OpTime{TS: cluster.Now(), Term: 1},
			Tolerate: func(_ context.Context, ns pitr.Namespace, key pitr.Key) (bool, error) {
				return due && ns == items && key.Equal() == keyOf(t, item(t, 8, "")).Equal(), nil
			}}
		lookout := guard.NewWatch(cluster, plan.Ledger(), options)
		if err := cluster.UserWrite(items, keyOf(t, item(t, 8, "")), nil); err != nil {
			t.Fatal(err)
		}
		if err := lookout.Check(t.Context()); (err == nil) != due {
			t.Errorf("due %v: %v", due, err)
		}
	}
}

// A server may log a replacement as the difference of both documents: what counts is the document that comes out.
func TestDifferencesAreJudgedByTheirResult(t *testing.T) {
	task := rewindTask(t)
	plan, err := guard.PlanTo(task)
	if err != nil {
		t.Fatal(err)
	}
	for sku, own := range map[string]bool{"b": true, "z": false} {
		cluster := shop(t)
		lookout := watch(cluster, plan)
		cluster.Append(bson.D{{Key: "op", Value: "u"}, {Key: "ns", Value: items.String()}, {Key: "ui", Value: pitr.UUID{7}.Binary()},
			{Key: "o", Value: bson.D{{Key: "$v", Value: int32(2)}, {Key: "diff", Value: bson.D{{Key: "u", Value: bson.D{{Key: "sku", Value: sku}}}}}}},
			{Key: "o2", Value: bson.D{{Key: "_id", Value: int32(1)}}}})
		if err := lookout.Check(t.Context()); (err == nil) != own {
			t.Errorf("a difference to %s: %v", sku, err)
		}
	}
}

// A transaction that was open at the freeze and counts after it is a stray, although its operations were logged before F: no
// state at F has them. One that is given up is none.
func TestTransactionOpenAtTheFreezeIsAStray(t *testing.T) {
	task := rewindTask(t)
	plan, err := guard.PlanTo(task)
	if err != nil {
		t.Fatal(err)
	}
	insert := bson.D{{Key: "op", Value: "i"}, {Key: "ns", Value: items.String()}, {Key: "ui", Value: pitr.UUID{7}.Binary()}, {Key: "o", Value: item(t, 9, "x")}}
	part := func(o bson.D, previous pitr.OpTime) bson.D {
		return bson.D{{Key: "op", Value: "c"}, {Key: "ns", Value: "admin.$cmd"}, {Key: "o", Value: o},
			{Key: "lsid", Value: bson.D{{Key: "id", Value: 1}}}, {Key: "txnNumber", Value: int64(1)},
			{Key: "prevOpTime", Value: bson.D{{Key: "ts", Value: previous.TS.BSON()}, {Key: "t", Value: previous.Term}}}}
	}
	for name, end := range map[string]bson.D{
		"committed": {{Key: "applyOps", Value: bson.A{}}, {Key: "count", Value: int64(1)}},
		"given up":  {{Key: "abortTransaction", Value: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			cluster, c := shop(t), &clock{}
			cluster.Append(part(bson.D{{Key: "applyOps", Value: bson.A{insert}}, {Key: "partialTxn", Value: true}}, pitr.OpTime{Term: -1}))
			head := pitr.OpTime{TS: cluster.Now(), Term: 1}
			f, err := guard.Freeze(t.Context(), cluster, guard.WayBlock, c.options(cluster))
			if err != nil {
				t.Fatal(err)
			}
			cluster.Append(part(end, head))
			var seen *guard.Stray
			err = guard.NewWatch(cluster, plan.Ledger(), guard.WatchOptions{From: f, Blocked: f}).Check(t.Context())
			if stray := errors.As(err, &seen); stray != (name == "committed") || !stray && err != nil {
				t.Errorf("the watch says %v", err)
			}
		})
	}
}
