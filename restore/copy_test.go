package restore_test

import (
	"context"
	"iter"
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/format"
	"pitr/guard"
	"pitr/internal/mongotest"
	"pitr/restore"
)

// elsewhereNamed gives the copies names in another database.
func elsewhereNamed(ns pitr.Namespace) pitr.Namespace {
	return pitr.Namespace{DB: "copied", Collection: ns.Collection}
}

func (s *stage) copyDeps(target *stage) restore.CopyDeps {
	deps := s.deps()
	return restore.CopyDeps{Repository: s.repository, Past: deps.Past, Target: target.writing.Primary(), Contents: target.reading}
}

// A view of a moment in another cluster is what the source was then: documents by bytes, options and indexes.
func TestCopyIntoAnotherCluster(t *testing.T) {
	source, target := newStage(t, mongotest.Need{}), newStage(t, mongotest.Need{})
	source.devicesAtT()
	source.run("deviceauth", bson.E{Key: "create", Value: "accepted"}, bson.E{Key: "viewOn", Value: "devices"},
		bson.E{Key: "pipeline", Value: bson.A{bson.D{{Key: "$match", Value: bson.D{{Key: "status", Value: "accepted"}}}}}})
	source.snapshot()
	source.insert(devices, bson.D{{Key: "_id", Value: "later"}, {Key: "tenant", Value: 9}, {Key: "hash", Value: 9}, {Key: "serial", Value: 9000}, {Key: "status", Value: "new"}})
	at, want := source.now(), source.capture()
	source.damage()
	source.archive()
	deps := source.copyDeps(target)

	for _, expire := range []bool{false, true} {
		request := restore.CopyRequest{At: at, Expire: expire}
		if expire {
			request.Rename = elsewhereNamed
		}
		intent, err := restore.PlanCopy(t.Context(), deps, request)
		source.must(err)
		for _, typed := range []string{"", "devices-eu", "localhost", strings.ToUpper(intent.Target.Member) + " "} {
			if _, err := intent.Confirm(typed); pitr.KindOf(err) != pitr.KindRefused {
				t.Errorf("%q confirmed", typed)
			}
		}
		confirmed, err := intent.Confirm(intent.Target.Member)
		source.must(err)
		outcome, err := restore.Copy(t.Context(), deps, intent, confirmed)
		source.must(err)
		if outcome.Written < 300 {
			t.Errorf("outcome %+v", outcome)
		}
	}
	live := target.capture()
	checkCopy(t, live, want, "deviceauth", false)
	checkCopy(t, live, want, "copied", true)
	// What exists is not written to. // case W10
	if _, err := restore.PlanCopy(t.Context(), deps, restore.CopyRequest{At: at}); pitr.KindOf(err) != pitr.KindRefused {
		t.Errorf("a copy over the copy: %v", err)
	}
	// The source itself gets copies under other names only.
	deps = source.copyDeps(source)
	if _, err := restore.PlanCopy(t.Context(), deps, restore.CopyRequest{At: at}); pitr.KindOf(err) != pitr.KindRefused {
		t.Errorf("a copy into the source: %v", err)
	}
	intent, err := restore.PlanCopy(t.Context(), deps, restore.CopyRequest{At: at, Rename: elsewhereNamed})
	source.must(err)
	confirmed, err := intent.Confirm(intent.Target.Hosts[0])
	source.must(err)
	_, err = restore.Copy(t.Context(), deps, intent, confirmed)
	source.must(err)
	checkCopy(t, source.capture(), want, "copied", false)
}

// archive brings everything up to now into the repository.
func (s *stage) archive() {
	s.t.Helper()
	_, err := s.archiver.CatchUp(s.t.Context(), s.now())
	s.must(err)
}

// checkCopy compares a database with the one of the source at a moment. Where nothing is to expire, the TTL index has a time
// that never comes.
func checkCopy(t *testing.T, live, want state, db string, expires bool) {
	t.Helper()
	var have, wish []pitr.Collection
	ttl := func(collection pitr.Collection) []bson.Raw {
		return slices.DeleteFunc(slices.Clone(collection.Indexes), func(spec bson.Raw) bool { return !expires && pitr.IndexName(spec) == "exp" })
	}
	for _, collection := range live.catalog {
		if spec := collection.Index("exp"); collection.NS.DB == db && spec != nil && !expires && spec.Lookup("expireAfterSeconds").AsInt64() != 1<<31-1 {
			t.Errorf("%s expires documents: %s", collection.NS, spec)
		}
		if collection.NS.DB == db {
			collection.NS.DB, collection.Indexes = "deviceauth", ttl(collection)
			have = append(have, collection)
		}
	}
	for _, collection := range want.catalog {
		collection.Indexes = ttl(collection)
		wish = append(wish, collection)
	}
	differences, err := guard.Differences(have, wish)
	if err != nil || len(differences) > 0 {
		t.Errorf("%s: %v %v", db, differences, err)
	}
	for ns, documents := range want.documents {
		ns.DB = db
		if len(documents) == 0 || len(live.documents[ns]) != len(documents) {
			t.Errorf("%s has %d documents, want %d", ns, len(live.documents[ns]), len(documents))
		}
		for key, document := range documents {
			if string(live.documents[ns][key]) != string(document) {
				t.Errorf("%s: %s, want %s", ns, live.documents[ns][key], document)
			}
		}
	}
}

// thief reads back less than there is.
type thief struct{ restore.Contents }

func (c thief) Scan(ctx context.Context, r pitr.Range) iter.Seq2[pitr.Batch, error] {
	return func(yield func(pitr.Batch, error) bool) {}
}

// A copy whose read-back differs gets no name. // case I12
func TestCopyThatDiffersGetsNoName(t *testing.T) {
	source, target := newStage(t, mongotest.Need{}), newStage(t, mongotest.Need{})
	source.devicesAtT()
	source.snapshot()
	deps := source.copyDeps(target)
	deps.Contents = thief{target.reading}
	intent, err := restore.PlanCopy(t.Context(), deps, restore.CopyRequest{At: source.now()})
	source.must(err)
	confirmed, err := intent.Confirm(intent.Target.Member)
	source.must(err)
	_, err = restore.Copy(t.Context(), deps, intent, confirmed)
	if pitr.KindOf(err) != pitr.KindHalfway || pitr.HintOf(err) == "" {
		t.Errorf("copy: %v", err)
	}
	for _, collection := range target.capture().catalog {
		if !strings.HasPrefix(collection.NS.Collection, "pitr_") {
			t.Errorf("%s has its name", collection.NS)
		}
	}
	job, err := source.repository.Job(t.Context(), intent.ID)
	source.must(err)
	if job.Intent.Kind != format.JobCopy || job.Result == nil || job.Result.Outcome != string(pitr.KindHalfway) {
		t.Errorf("job %+v", job.Result)
	}
}
