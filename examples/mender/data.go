package mender

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// The namespaces of the story.
const (
	Devices     = "deviceauth.devices"
	AuthSets    = "deviceauth.auth_sets"
	Tokens      = "deviceauth.tokens"
	Limits      = "deviceauth.limits"
	Migrations  = "deviceauth.migration_info"
	Enrollments = "deployments.enrollments"
)

// IdentityIndex is the unique index that the migration drops.
const IdentityIndex = "tenant_id_id_data_sha256"

// Sizes says how big the story is.
type Sizes struct {
	Devices, Touched, Tenants int
}

// The sizes of the demo and of tests.
var (
	DemoSize = Sizes{Devices: 20_000, Touched: 3_000, Tenants: 12}
	TestSize = Sizes{Devices: 2_000, Touched: 400, Tenants: 5}
)

// source makes the data of one client from a seed.
type source struct {
	rnd     *rand.Rand
	tenants int
	now     func() time.Time
}

func newSource(seed, stream uint64, tenants int) *source {
	return &source{rnd: rand.New(rand.NewPCG(seed, stream)), tenants: tenants, now: time.Now} //nolint:gosec // data, not keys
}

func (s *source) uuid() string {
	var b [16]byte
	for i := range b {
		b[i] = byte(s.rnd.UintN(256))
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func (s *source) text(length int) string {
	content := make([]byte, length)
	for i := range content {
		content[i] = byte(s.rnd.UintN(256))
	}
	return base64.StdEncoding.EncodeToString(content)
}

func (s *source) pick(words ...string) string { return words[s.rnd.IntN(len(words))] }

func (s *source) date() bson.DateTime { return bson.NewDateTimeFromTime(s.now()) }

// identity is what a device says of itself; two devices of a tenant with one identity are duplicates.
type identity struct {
	MAC    string `json:"mac" bson:"mac"`
	Serial string `json:"serial" bson:"serial"`
	SKU    string `json:"sku" bson:"sku"`
}

func (s *source) identity() identity {
	return identity{
		MAC: fmt.Sprintf("02:%02x:%02x:%02x:%02x:%02x", s.rnd.UintN(256), s.rnd.UintN(256), s.rnd.UintN(256),
			s.rnd.UintN(256), s.rnd.UintN(256)),
		Serial: fmt.Sprintf("SN%012d", s.rnd.Uint64N(1e12)),
		SKU:    s.pick("gateway-a", "gateway-b", "sensor-4", "sensor-9"),
	}
}

// device makes a device document; status empty picks one.
func (s *source) device(who identity, tenant, status string) bson.Raw {
	if status == "" {
		status = s.pick("pending", "accepted", "accepted", "accepted", "accepted", "rejected", "preauthorized", "noauth")
	}
	text, err := json.Marshal(who)
	if err != nil {
		panic(fmt.Sprintf("an identity of strings is always JSON: %v", err))
	}
	sum := sha256.Sum256(text)
	created := s.date()
	return marshal(bson.D{
		{Key: "_id", Value: s.uuid()},
		{Key: "id_data", Value: string(text)},
		{Key: "id_data_struct", Value: who},
		{Key: "id_data_sha256", Value: bson.Binary{Data: sum[:]}},
		{Key: "status", Value: status},
		{Key: "tenant_id", Value: tenant},
		{Key: "created_ts", Value: created},
		{Key: "updated_ts", Value: created},
		{Key: "revision", Value: int32(1)},
	})
}

func (s *source) tenant() string { return fmt.Sprintf("tenant-%02d", s.rnd.IntN(s.tenants)) }

func (s *source) authSet(device bson.Raw) bson.Raw {
	return marshal(bson.D{
		{Key: "_id", Value: s.uuid()},
		{Key: "device_id", Value: device.Lookup("_id")},
		{Key: "tenant_id", Value: device.Lookup("tenant_id")},
		{Key: "id_data", Value: device.Lookup("id_data")},
		{Key: "id_data_sha256", Value: device.Lookup("id_data_sha256")},
		{Key: "pubkey", Value: "-----BEGIN PUBLIC KEY-----\n" + s.text(180) + "\n-----END PUBLIC KEY-----"},
		{Key: "status", Value: device.Lookup("status")},
		{Key: "ts", Value: s.date()},
	})
}

func (s *source) token(device bson.Raw, life time.Duration) bson.Raw {
	return marshal(bson.D{
		{Key: "_id", Value: s.uuid()},
		{Key: "sub", Value: device.Lookup("_id")},
		{Key: "jwt", Value: "eyJ" + s.text(120)},
		{Key: "exp", Value: bson.D{{Key: "time", Value: bson.NewDateTimeFromTime(s.now().Add(life))}}},
	})
}

func (s *source) enrollment(device bson.Raw) bson.Raw {
	return marshal(bson.D{
		{Key: "_id", Value: bson.NewObjectID()},
		{Key: "device_id", Value: device.Lookup("_id")},
		{Key: "group", Value: s.pick("production", "staging", "pilot", "warehouse")},
		{Key: "tenant_id", Value: device.Lookup("tenant_id")},
		{Key: "enrolled_at", Value: s.date()},
		{Key: "by", Value: s.pick("api", "portal", "import")},
	})
}

func marshal(document bson.D) bson.Raw {
	content, err := bson.Marshal(document)
	if err != nil {
		panic(fmt.Sprintf("a document of plain values is always BSON: %v", err))
	}
	return content
}

// with gives the document with top-level fields set: an existing field keeps its place, a new one goes to the end.
func with(document bson.Raw, fields bson.D) bson.Raw {
	elements, err := document.Elements()
	if err != nil {
		panic(fmt.Sprintf("the generator's own document: %v", err))
	}
	var result bson.D
	set := map[string]any{}
	for _, field := range fields {
		set[field.Key] = field.Value
	}
	for _, element := range elements {
		value, changed := set[element.Key()]
		if !changed {
			value = element.Value()
		}
		delete(set, element.Key())
		result = append(result, bson.E{Key: element.Key(), Value: value})
	}
	for _, field := range fields {
		if value, missing := set[field.Key]; missing {
			result = append(result, bson.E{Key: field.Key, Value: value})
		}
	}
	return marshal(result)
}
