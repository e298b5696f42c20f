package restore_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"pitr"
	"pitr/internal/mongotest"
	"pitr/restore"
)

// Lives with everything that an application may do to a catalog: renames, also over a name that is taken, views, expiry, partial
// and collated indexes, ids of several types. A rewind brings each moment back, or refuses and leaves the cluster as it is.
func TestWildLivesAreRewoundOrRefused(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if given, err := strconv.ParseUint(os.Getenv("PITR_SEED"), 10, 64); err == nil {
		seed = given
	}
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 2))
	s := newStage(t, mongotest.Need{Users: logins})
	s.devicesAtT()
	for range 60 {
		s.wild(random)
	}
	s.snapshot()
	done, refused := 0, 0
	for round := range 8 {
		type moment struct {
			at    pitr.Timestamp
			state state
		}
		var moments []moment
		for range 3 {
			moments = append(moments, moment{s.now(), s.capture()})
			for range 4 + random.IntN(12) {
				s.wild(random)
			}
		}
		chosen, damaged := moments[random.IntN(len(moments))], s.capture()
		outcome, err := s.tryRestore(chosen.at)
		switch kind := pitr.KindOf(err); {
		case err == nil:
			s.same(chosen.state)
			done++
		case kind == pitr.KindRefused || kind == pitr.KindUnsupported:
			t.Logf("round %d: %v", round, err)
			s.same(damaged)
			refused++
			continue
		default:
			t.Fatalf("round %d, to %s: %v", round, chosen.at, err)
		}
		if random.IntN(2) == 0 && outcome.Written+outcome.Steps > 0 {
			undone, err := s.undo(outcome.Job)
			if err != nil {
				t.Fatalf("round %d, undo: %v: %+v", round, err, undone.LeftAlone)
			}
			s.same(damaged)
		}
	}
	t.Logf("%d rewinds, %d refusals", done, refused)
	if done == 0 {
		t.Error("nothing was rewound")
	}
}

func (s *stage) tryRestore(to pitr.Timestamp) (restore.Outcome, error) {
	s.t.Helper()
	deps := s.deps()
	intent, err := restore.Plan(s.t.Context(), deps, restore.Request{To: to})
	if err != nil {
		return restore.Outcome{}, err
	}
	confirmed, err := intent.Confirm("devices-eu")
	s.must(err)
	return restore.Run(s.t.Context(), deps, intent, confirmed)
}

// wild does one random thing to the catalog or to documents, which may fail as it does for any application.
func (s *stage) wild(random *rand.Rand) {
	ctx := s.t.Context()
	db := s.app.Database("wild")
	pick := func(list ...string) string { return list[random.IntN(len(list))] }
	name := pick("a", "b", "c")
	collection := db.Collection(name)
	number := random.IntN(12)
	var id any = number
	switch random.IntN(6) {
	case 0:
		id = int64(number)
	case 1:
		id = float64(number)
	case 2:
		id = pick("a", "A", "ä", "b")
	case 3:
		id = bson.D{{Key: "x", Value: number % 3}, {Key: "y", Value: int64(number % 2)}}
	}
	value := func() any {
		return []any{random.IntN(8), int64(random.IntN(8)), float64(random.IntN(8)), pick("x", "X", "y"), nil, bson.A{random.IntN(4), pick("p", "q")}, bson.D{{Key: "n", Value: random.IntN(3)}}}[random.IntN(7)]
	}
	document := bson.D{{Key: "_id", Value: id}, {Key: "u", Value: value()}, {Key: "w", Value: value()}}
	if random.IntN(5) == 0 {
		document = append(document, bson.E{Key: "$odd.name", Value: value()}, bson.E{Key: "", Value: 1})
	}
	if random.IntN(3) == 0 {
		document = append(document, bson.E{Key: "at", Value: time.Now().Add(time.Duration(1+random.IntN(3)) * time.Hour)})
	}
	run := func(db string, elements ...bson.E) { _ = s.app.Database(db).RunCommand(ctx, bson.D(elements)).Err() }
	index := func(name, field string, more ...bson.E) bson.E {
		return bson.E{Key: "indexes", Value: bson.A{append(bson.D{{Key: "key", Value: bson.D{{Key: field, Value: 1}}}, {Key: "name", Value: name}}, more...)}}
	}
	switch random.IntN(40) {
	case 0:
		run("wild", bson.E{Key: "drop", Value: name})
	case 1:
		run("wild", bson.E{Key: "create", Value: name}, bson.E{Key: "collation", Value: bson.D{{Key: "locale", Value: "en"}, {Key: "strength", Value: 1 + random.IntN(3)}}})
	case 2:
		run("admin", bson.E{Key: "renameCollection", Value: "wild." + name}, bson.E{Key: "to", Value: "wild." + pick("a", "b", "c", "d")}, bson.E{Key: "dropTarget", Value: random.IntN(2) == 0})
	case 3:
		run("wild", bson.E{Key: "create", Value: "view"}, bson.E{Key: "viewOn", Value: name}, bson.E{Key: "pipeline", Value: bson.A{}})
	case 4:
		run("wild", bson.E{Key: pick("drop", "drop", "create"), Value: "view"})
	case 5:
		run("wild", bson.E{Key: "collMod", Value: "view"}, bson.E{Key: "viewOn", Value: name}, bson.E{Key: "pipeline", Value: bson.A{bson.D{{Key: "$match", Value: bson.D{{Key: "u", Value: number}}}}}})
	case 6:
		run("wild", bson.E{Key: "createIndexes", Value: name}, index("u", "u", bson.E{Key: "unique", Value: true}, bson.E{Key: "sparse", Value: random.IntN(2) == 0}))
	case 7:
		run("wild", bson.E{Key: "createIndexes", Value: name}, index("w", "w", bson.E{Key: "unique", Value: true},
			bson.E{Key: "partialFilterExpression", Value: bson.D{{Key: "w", Value: bson.D{{Key: "$exists", Value: true}}}, {Key: "u", Value: bson.D{{Key: "$gt", Value: 2}}}}}))
	case 8:
		run("wild", bson.E{Key: "createIndexes", Value: name}, index("u", "u"))
	case 9:
		run("wild", bson.E{Key: "createIndexes", Value: name}, index("at", "at", bson.E{Key: "expireAfterSeconds", Value: random.IntN(2) * 60}))
	case 10:
		run("wild", bson.E{Key: "dropIndexes", Value: name}, bson.E{Key: "index", Value: pick("u", "w", "at", "*")})
	case 11:
		run("wild", bson.E{Key: "collMod", Value: name}, bson.E{Key: "index", Value: bson.D{{Key: "name", Value: pick("u", "w")}, {Key: "hidden", Value: random.IntN(2) == 0}}})
	case 12:
		run("wild", bson.E{Key: "collMod", Value: name}, bson.E{Key: "index", Value: bson.D{{Key: "name", Value: "at"}, {Key: "expireAfterSeconds", Value: random.IntN(3) * 30}}})
	case 13:
		run("wild", bson.E{Key: "collMod", Value: name}, bson.E{Key: "validator", Value: []any{bson.D{}, bson.D{{Key: "_id", Value: bson.D{{Key: "$exists", Value: true}}}}}[random.IntN(2)]})
	case 14:
		run("wild", bson.E{Key: "createIndexes", Value: name}, index("c", "u", bson.E{Key: "unique", Value: true}, bson.E{Key: "collation", Value: bson.D{{Key: "locale", Value: "en"}, {Key: "strength", Value: 2}}}))
	case 15:
		_, _ = collection.UpdateMany(ctx, bson.D{}, bson.D{{Key: "$set", Value: bson.D{{Key: "w", Value: value()}}}})
	case 16:
		_, _ = collection.DeleteMany(ctx, bson.D{{Key: "u", Value: value()}})
	case 17, 18:
		_ = s.app.UseSession(ctx, func(ctx context.Context) error {
			session := mongo.SessionFromContext(ctx)
			if err := session.StartTransaction(); err != nil {
				return err
			}
			other := db.Collection(pick("a", "b", "c"))
			_, _ = collection.DeleteOne(ctx, bson.D{{Key: "_id", Value: id}})
			_, _ = collection.InsertOne(ctx, document)
			_, _ = other.UpdateMany(ctx, bson.D{}, bson.D{{Key: "$inc", Value: bson.D{{Key: "n", Value: 1}}}})
			return session.CommitTransaction(ctx)
		})
	case 19, 20, 21, 22:
		_, _ = collection.DeleteOne(ctx, bson.D{{Key: "_id", Value: id}})
	case 23, 24, 25:
		_, _ = collection.UpdateOne(ctx, bson.D{{Key: "_id", Value: id}}, bson.D{{Key: "$set", Value: bson.D{{Key: "u", Value: value()}, {Key: fmt.Sprint("f", number), Value: value()}}}, {Key: "$unset", Value: bson.D{{Key: "w", Value: 1}}}})
	case 26, 27:
		_, _ = collection.ReplaceOne(ctx, bson.D{{Key: "_id", Value: id}}, document, options.Replace().SetUpsert(true))
	default:
		_, _ = collection.InsertOne(ctx, document)
	}
}
