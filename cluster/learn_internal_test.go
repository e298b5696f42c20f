package cluster

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"pitr"
)

func TestChoose(t *testing.T) {
	now := time.Date(2025, 10, 22, 8, 0, 0, 0, time.UTC)
	primary := &member{host: "a", written: now}
	idle := &member{host: "b", secondary: true, written: now.Add(-time.Second), load: 1, trip: 9}
	busy := &member{host: "c", secondary: true, written: now, load: 7, trip: 1}
	behind := &member{host: "d", secondary: true, written: now.Add(-time.Minute)}
	down := &member{host: "e", secondary: true, err: errors.New("down")}
	for _, c := range []struct {
		members []*member
		want    *member
	}{
		{[]*member{primary, busy, idle, behind, down}, idle},
		{[]*member{primary, busy, behind, down}, busy},
		{[]*member{primary, behind, down}, primary},
		{[]*member{behind}, behind},
		{[]*member{down}, nil},
	} {
		if got := choose(c.members); got != c.want {
			t.Errorf("%v of %d members", got, len(c.members))
		}
	}
}

// TestMissingRights holds the table of needs against what the roles were measured to grant. // case D12
func TestMissingRights(t *testing.T) {
	grants := func(clusterActions []string, anyCollection []string, exact ...string) []grant {
		all := []grant{{Actions: clusterActions}, {Actions: anyCollection}}
		all[0].Resource.Cluster = true
		empty := ""
		all[1].Resource.DB, all[1].Resource.Collection = &empty, &empty
		for i := 0; i+2 < len(exact); i += 3 {
			g := grant{Actions: []string{exact[i+2]}}
			g.Resource.DB, g.Resource.Collection = &exact[i], &exact[i+1]
			all = append(all, g)
		}
		return all
	}
	reading := []string{"listDatabases", "useUUID", "appendOplogNote", "replSetGetConfig", "inprog"}
	collections := []string{"find", "listCollections", "listIndexes", "collStats"}
	seven := version{major: 7}
	if got := missing(needs[ForReading], grants(reading, collections, "local", "", "find", "config", "", "find"), seven); got != nil {
		t.Errorf("backup and clusterMonitor lack %v", got)
	}
	got := missing(needs[ForReading], grants(reading[1:], collections), seven)
	want := []string{"listDatabases on the cluster (role backup)", "find on local.oplog.rs (role backup)",
		"find on config.transactions (role backup)"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("missing %q, not %q", got, want)
	}
	root := []grant{{Actions: []string{}}}
	for _, need := range append(needs[ForReading], needs[ForRestoring]...) {
		root[0].Actions = append(root[0].Actions, need.actions...)
	}
	root[0].Resource.AnyResource = true
	if got := missing(needs[ForRestoring], root, seven); got != nil {
		t.Errorf("root lacks %v", got)
	}
	block := "setUserWriteBlockMode on the cluster (role restore)"
	if got := fmt.Sprint(missing(needs[ForRestoring], nil, seven)); !contains(got, block) {
		t.Errorf("%s does not name %s", got, block)
	}
	if got := fmt.Sprint(missing(needs[ForRestoring], nil, version{major: 5})); contains(got, block) {
		t.Errorf("5.0 cannot have %s", block)
	}
}

func contains(text, part string) bool {
	for i := 0; i+len(part) <= len(text); i++ {
		if text[i:i+len(part)] == part {
			return true
		}
	}
	return false
}

func TestBuiltSpecKnowsTheThreeShapes(t *testing.T) {
	spec := bson.D{{Key: "v", Value: 2}, {Key: "key", Value: bson.D{{Key: "a", Value: 1}}}, {Key: "name", Value: "a_1"}}
	for _, c := range []struct {
		entry any
		built bool
	}{
		{spec, true},
		{bson.D{{Key: "spec", Value: spec}}, true},
		{bson.D{{Key: "spec", Value: spec}, {Key: "buildUUID", Value: bson.Binary{Subtype: 4, Data: make([]byte, 16)}}}, false},
		{bson.D{{Key: "spec", Value: spec}, {Key: "indexBuildInfo", Value: bson.D{}}}, false},
	} {
		entry, err := bson.Marshal(c.entry)
		if err != nil {
			t.Fatal(err)
		}
		got := builtSpec(entry)
		if (got != nil) != c.built || c.built && pitr.IndexName(got) != "a_1" {
			t.Errorf("%v gives %v", c.entry, got)
		}
	}
}

func TestFailuresHaveKinds(t *testing.T) {
	c := &link{options: Options{}.withDefaults(), secrets: secrets{"canary"}}
	for _, test := range []struct {
		err       error
		kind      pitr.Kind
		condition error
	}{
		{mongo.CommandError{Code: 239, Message: "canary"}, "", pitr.ErrMomentGone},
		{mongo.CommandError{Code: 246}, "", pitr.ErrMomentGone},
		{mongo.CommandError{Code: 43}, "", pitr.ErrCursorGone},
		{mongo.CommandError{Code: 175}, "", pitr.ErrCursorGone},
		{mongo.CommandError{Code: 211}, "", pitr.ErrResumeGone},
		{mongo.CommandError{Code: 26}, pitr.KindNotFound, pitr.ErrCollectionGone},
		{mongo.CommandError{Code: 13}, pitr.KindDenied, nil},
		{mongo.CommandError{Code: 189}, pitr.KindUnavailable, nil},
		{mongo.CommandError{Labels: []string{"NetworkError"}, Message: "canary"}, pitr.KindUnavailable, nil},
		{mongo.WriteException{WriteErrors: mongo.WriteErrors{{Code: 11000, Message: "canary"}}}, pitr.KindConflict, nil},
		{errors.New("canary"), pitr.KindUnexpected, nil},
	} {
		err := c.failed(t.Context(), "op", test.err)
		if pitr.KindOf(err) != test.kind || contains(fmt.Sprintf("%v %#v", err, err), "canary") {
			t.Errorf("%#v: kind %q: %v", test.err, pitr.KindOf(err), err)
		}
		if test.condition != nil && !errors.Is(err, test.condition) {
			t.Errorf("%#v is not the condition %v", test.err, test.condition)
		}
		if errors.As(err, new(mongo.CommandError)) || errors.As(err, new(mongo.WriteException)) {
			t.Errorf("%#v lets the driver's error through", test.err)
		}
	}
}

func TestMeterHoldsTheRate(t *testing.T) {
	var m meter
	now := time.Unix(1000, 0)
	if d := m.wait(now, 1<<20, 0); d != 0 {
		t.Errorf("without a rate it waits %s", d)
	}
	m.wait(now, 50, 100)
	if d := m.wait(now, 50, 100); d != time.Second {
		t.Errorf("100 bytes at 100 a second take %s", d)
	}
	if d := m.wait(now.Add(time.Minute), 50, 100); d != 500*time.Millisecond {
		t.Errorf("time that was not used is kept: %s", d)
	}
}

func TestKeyPartsAreBounded(t *testing.T) {
	var keys []pitr.Key
	for i := range 2500 {
		size := 10
		if i%700 == 0 {
			size = lookupBytes
		}
		_, value, _ := bson.MarshalValue(fmt.Sprintf("%0*d", size, i))
		key, err := pitr.NewKey(bson.RawValue{Type: bson.TypeString, Value: value})
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	seen := 0
	for part := range keyParts(keys) {
		size := 0
		for _, key := range part {
			if key.Equal() != keys[seen].Equal() {
				t.Fatalf("key %d is missing or out of order", seen)
			}
			size += len(key.Stored().Value)
			seen++
		}
		if len(part) > lookupKeys || len(part) > 1 && size > lookupBytes {
			t.Errorf("a part of %d keys and %d bytes", len(part), size)
		}
	}
	if seen != len(keys) {
		t.Errorf("%d keys of %d", seen, len(keys))
	}
}
