package mender

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// clients is how many live clients write at once. Each owns every clients+1st device; the rest belongs to the story's own
// steps, so that no document has two writers and the model's order is the server's.
const clients = 4

// Story is one run of the incident against one server.
type Story struct {
	client *mongo.Client
	model  *Model
	sizes  Sizes
	seed   uint64

	// barrier is held for reading around each write of a client and its record in the model, and for writing by steps
	// that touch other people's documents or pin a moment.
	barrier sync.RWMutex

	// devices are those of the base, in the order of their making; owner i has those with index i modulo clients+1.
	devices []bson.Raw
	// duplicates are the second inserts of a device, by the _id text of the first.
	duplicates []duplicate
	// rounds counts what was begun more than once, so that no round makes the data of an earlier one.
	rounds uint64
}

type duplicate struct{ first, second bson.Raw }

// New makes a story; nothing is written yet.
func New(client *mongo.Client, seed uint64, sizes Sizes) *Story {
	return &Story{client: client, model: NewModel(), sizes: sizes, seed: seed}
}

// Model gives the generator's memory.
func (s *Story) Model() *Model { return s.model }

func (s *Story) collection(ns string) *mongo.Collection {
	db, name := split(ns)
	return s.client.Database(db).Collection(name)
}

func split(ns string) (db, name string) {
	for i := range ns {
		if ns[i] == '.' {
			return ns[:i], ns[i+1:]
		}
	}
	return ns, ""
}

// Prepare fills the databases and builds their indexes.
func (s *Story) Prepare(ctx context.Context) error {
	data := newSource(s.seed, 0, s.sizes.Tenants)
	var authSets, tokens, enrollments []bson.Raw
	for i := range s.sizes.Devices {
		device := data.device(data.identity(), data.tenant(), "")
		s.devices = append(s.devices, device)
		authSets = append(authSets, data.authSet(device))
		switch {
		case i%100 == 0: // due before the story ends: class expired
			tokens = append(tokens, data.token(device, 3*time.Second))
		case i%4 == 0:
			tokens = append(tokens, data.token(device, 24*time.Hour))
		}
		if i%2 == 0 {
			enrollments = append(enrollments, data.enrollment(device))
		}
	}
	for ns, documents := range map[string][]bson.Raw{
		Devices: s.devices, AuthSets: authSets, Tokens: tokens, Enrollments: enrollments,
		Limits: s.limits(500), Migrations: {marshal(bson.D{{Key: "_id", Value: "deviceauth"}, {Key: "version", Value: "2.0.0"}})},
	} {
		if err := s.insert(ctx, ns, documents); err != nil {
			return err
		}
	}
	return s.buildIndexes(ctx)
}

func (s *Story) limits(devices int) []bson.Raw {
	var limits []bson.Raw
	for i := range s.sizes.Tenants {
		limits = append(limits, marshal(bson.D{
			{Key: "_id", Value: fmt.Sprintf("tenant-%02d", i)},
			{Key: "max_devices", Value: int64(devices * (i + 1))},
		}))
	}
	return limits
}

func (s *Story) insert(ctx context.Context, ns string, documents []bson.Raw) error {
	const batch = 1000
	for start := 0; start < len(documents); start += batch {
		part := documents[start:min(start+batch, len(documents))]
		if _, err := s.collection(ns).InsertMany(ctx, part); err != nil {
			return fmt.Errorf("insert into %s: %w", ns, err)
		}
		for _, document := range part {
			s.model.Put(ns, document)
		}
	}
	return nil
}

func (s *Story) buildIndexes(ctx context.Context) error {
	for ns, models := range map[string][]mongo.IndexModel{
		Devices: {
			identityIndex(),
			{Keys: bson.D{{Key: "tenant_id", Value: 1}, {Key: "status", Value: 1}, {Key: "_id", Value: 1}},
				Options: options.Index().SetName("tenant_id_status_id")},
		},
		AuthSets: {{Keys: bson.D{{Key: "tenant_id", Value: 1}, {Key: "id_data_sha256", Value: 1}, {Key: "pubkey", Value: 1}},
			Options: options.Index().SetName("tenant_id_id_data_sha256_pubkey").SetUnique(true)}},
		Tokens: {{Keys: bson.D{{Key: "exp.time", Value: 1}},
			Options: options.Index().SetName("exp_time_ttl").SetExpireAfterSeconds(0)}},
	} {
		if _, err := s.collection(ns).Indexes().CreateMany(ctx, models); err != nil {
			return fmt.Errorf("build the indexes of %s: %w", ns, err)
		}
	}
	return nil
}

func identityIndex() mongo.IndexModel {
	return mongo.IndexModel{Keys: bson.D{{Key: "tenant_id", Value: 1}, {Key: "id_data_sha256", Value: 1}},
		Options: options.Index().SetName(IdentityIndex).SetUnique(true)}
}

// act runs one write of a client and records it, as one thing for whoever pins a moment.
func (s *Story) act(write func() error, record func()) error {
	s.barrier.RLock()
	defer s.barrier.RUnlock()
	if err := write(); err != nil {
		return err
	}
	record()
	return nil
}

// owned gives the story's devices (owner 0) or those of a live client (1 to clients) as the model has them now.
func (s *Story) owned(owner int) []bson.Raw {
	present := s.model.At(Devices, s.model.Now())
	var mine []bson.Raw
	for i, device := range s.devices {
		if i%(clients+1) != owner {
			continue
		}
		if current, there := present[idText(device)]; there {
			mine = append(mine, current)
		}
	}
	return mine
}

// Migrate is the bad release. It gives the moment just before the unique index was dropped: the one to go back to.
func (s *Story) Migrate(ctx context.Context) (Moment, error) {
	s.rounds++
	s.duplicates = nil
	before, err := s.dropIdentityIndex(ctx)
	if err != nil {
		return 0, err
	}
	if err := s.rewrite(ctx); err != nil {
		return 0, err
	}
	if err := s.enrollTwice(ctx); err != nil {
		return 0, err
	}
	if err := s.rejectSome(ctx); err != nil {
		return 0, err
	}
	if err := s.deletePending(ctx); err != nil {
		return 0, err
	}
	_, err = s.collection(Devices).Indexes().CreateOne(ctx, identityIndex())
	if !mongo.IsDuplicateKeyError(err) {
		return 0, fmt.Errorf("the unique index was built over duplicates: %w", err)
	}
	return before, nil
}

func (s *Story) dropIdentityIndex(ctx context.Context) (Moment, error) {
	s.barrier.Lock()
	defer s.barrier.Unlock()
	before := s.model.Now()
	if err := s.collection(Devices).Indexes().DropOne(ctx, IdentityIndex); err != nil {
		return 0, fmt.Errorf("drop %s: %w", IdentityIndex, err)
	}
	return before, nil
}

// rewrite is one update of many documents.
func (s *Story) rewrite(ctx context.Context) error {
	s.barrier.Lock()
	defer s.barrier.Unlock()
	skus := []string{"gateway-a", "sensor-4"}
	change := bson.D{{Key: "schema", Value: int32(2)}, {Key: "id_data", Value: "{}"}}
	result, err := s.collection(Devices).UpdateMany(ctx,
		bson.D{{Key: "tenant_id", Value: "tenant-00"}, {Key: "id_data_struct.sku", Value: bson.D{{Key: "$in", Value: skus}}}},
		bson.D{{Key: "$set", Value: change}})
	if err != nil {
		return fmt.Errorf("rewrite devices: %w", err)
	}
	rewritten := int64(0)
	for _, device := range s.model.At(Devices, s.model.Now()) {
		sku := device.Lookup("id_data_struct", "sku").StringValue()
		if device.Lookup("tenant_id").StringValue() != "tenant-00" || (sku != skus[0] && sku != skus[1]) {
			continue
		}
		// The server appends new fields in the order of their names; id_data exists and keeps its place.
		s.model.Put(Devices, with(device, change))
		rewritten++
	}
	if rewritten != result.ModifiedCount {
		return fmt.Errorf("the server rewrote %d devices, the model %d", result.ModifiedCount, rewritten)
	}
	return nil
}

// enrollTwice is devices that retry while nothing refuses their second enrollment.
func (s *Story) enrollTwice(ctx context.Context) error {
	data := newSource(s.seed, 100+s.rounds, s.sizes.Tenants)
	mine := s.owned(0)
	for i := range min(s.sizes.Touched/10, len(mine)) {
		first := mine[i]
		var who identity
		if err := bson.Unmarshal(first.Lookup("id_data_struct").Document(), &who); err != nil {
			return err
		}
		second := data.device(who, first.Lookup("tenant_id").StringValue(), "pending")
		err := s.act(func() error { _, err := s.collection(Devices).InsertOne(ctx, second); return err },
			func() { s.model.Put(Devices, second) })
		if err != nil {
			return fmt.Errorf("enroll twice: %w", err)
		}
		s.duplicates = append(s.duplicates, duplicate{first: first, second: second})
	}
	return nil
}

// rejectSome is the half-upgraded service that sets good devices to rejected, one by one.
func (s *Story) rejectSome(ctx context.Context) error {
	mine := s.owned(0)
	for i := range min(s.sizes.Touched/6, len(mine)) {
		device := mine[len(mine)-1-i]
		if err := s.setStatus(ctx, device, "rejected"); err != nil {
			return fmt.Errorf("reject a device: %w", err)
		}
	}
	return nil
}

func (s *Story) setStatus(ctx context.Context, device bson.Raw, status string) error {
	at := bson.NewDateTimeFromTime(time.Now())
	revision := device.Lookup("revision").Int32() + 1
	change := bson.D{{Key: "status", Value: status}, {Key: "updated_ts", Value: at}, {Key: "revision", Value: revision}}
	return s.act(func() error {
		result, err := s.collection(Devices).UpdateByID(ctx, device.Lookup("_id"), bson.D{{Key: "$set", Value: change}})
		if err == nil && result.MatchedCount != 1 {
			return fmt.Errorf("device %s is gone", device.Lookup("_id"))
		}
		return err
	}, func() { s.model.Put(Devices, with(s.current(Devices, device), change)) })
}

// current gives the newest version of a document that only the caller writes.
func (s *Story) current(ns string, document bson.Raw) bson.Raw {
	s.model.mu.Lock()
	defer s.model.mu.Unlock()
	return contentAt(s.model.documents[ns][idText(document)], s.model.clock)
}

func (s *Story) deletePending(ctx context.Context) error {
	var victims []bson.Raw
	for _, device := range s.owned(0) {
		if device.Lookup("status").StringValue() == "pending" && len(victims) < s.sizes.Touched/12 {
			victims = append(victims, device)
		}
	}
	return s.deleteMany(ctx, Devices, victims)
}

func (s *Story) deleteMany(ctx context.Context, ns string, victims []bson.Raw) error {
	s.barrier.Lock()
	defer s.barrier.Unlock()
	ids := bson.A{}
	for _, victim := range victims {
		ids = append(ids, victim.Lookup("_id"))
	}
	result, err := s.collection(ns).DeleteMany(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}}})
	if err != nil {
		return fmt.Errorf("delete from %s: %w", ns, err)
	}
	if result.DeletedCount != int64(len(victims)) {
		return fmt.Errorf("%d of %d documents of %s were there to delete", result.DeletedCount, len(victims), ns)
	}
	for _, victim := range victims {
		s.model.Remove(ns, victim)
	}
	return nil
}

// Repair is the operator's clumsy fix: of most duplicate pairs one is deleted, now and then the good one, and a small
// collection is dropped and made again with the defaults.
func (s *Story) Repair(ctx context.Context) error {
	present := s.model.At(Devices, s.model.Now())
	var victims []bson.Raw
	for i, pair := range s.duplicates {
		victim := pair.second
		if i%3 == 0 {
			victim = pair.first
		}
		if current, there := present[idText(victim)]; there && i%5 != 4 {
			victims = append(victims, current)
		}
	}
	if err := s.deleteMany(ctx, Devices, victims); err != nil {
		return err
	}
	s.barrier.Lock()
	defer s.barrier.Unlock()
	if err := s.collection(Limits).Drop(ctx); err != nil {
		return fmt.Errorf("drop %s: %w", Limits, err)
	}
	s.model.RemoveAll(Limits)
	return s.insert(ctx, Limits, s.limits(100))
}

// RefusesDuplicate reports whether the server refuses a second device with the identity of one that it had at a moment.
func (s *Story) RefusesDuplicate(ctx context.Context, moment Moment) (bool, error) {
	data := newSource(s.seed, 200, s.sizes.Tenants)
	for _, first := range s.model.At(Devices, moment) {
		var who identity
		if err := bson.Unmarshal(first.Lookup("id_data_struct").Document(), &who); err != nil {
			return false, err
		}
		twin := with(data.device(who, first.Lookup("tenant_id").StringValue(), "pending"),
			bson.D{{Key: "id_data_sha256", Value: first.Lookup("id_data_sha256")}})
		_, err := s.collection(Devices).InsertOne(ctx, twin)
		if mongo.IsDuplicateKeyError(err) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		_, err = s.collection(Devices).DeleteOne(ctx, bson.D{{Key: "_id", Value: twin.Lookup("_id")}})
		return false, err
	}
	return false, errors.New("the model has no device")
}
