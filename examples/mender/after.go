package mender

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Return records that the database is again what it was at a moment: a restore has brought it back.
func (m *Model) Return(moment Moment) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.clock++
	for _, documents := range m.documents {
		for id, versions := range documents {
			then := contentAt(versions, moment)
			if !bytes.Equal(then, versions[len(versions)-1].content) {
				documents[id] = append(versions, version{since: m.clock, content: then})
			}
		}
	}
}

// Gap is what a restore took away: the state that it went back to, and the end of the damaged one.
type Gap struct{ Before, End Moment }

// Created gives the documents of a collection that the gap made and that were there at its end, in the order of their ids.
func (s *Story) Created(ns string, gap Gap) []bson.Raw {
	before, end := s.model.At(ns, gap.Before), s.model.At(ns, gap.End)
	var created []bson.Raw
	for _, id := range slices.Sorted(maps.Keys(end)) {
		if before[id] == nil {
			created = append(created, end[id])
		}
	}
	return created
}

// Reenroll is life after the restore: devices that had enrolled in the gap find themselves unknown and enroll again, with
// the identity and the key that they have, under new ids. At most count of those that are not back yet do.
func (s *Story) Reenroll(ctx context.Context, gap Gap, count int) (int, error) {
	s.rounds++
	data := newSource(s.seed, 300+s.rounds, s.sizes.Tenants)
	known := s.identities()
	keys := map[string]bson.RawValue{}
	for _, set := range s.Created(AuthSets, gap) {
		keys[set.Lookup("device_id").String()] = set.Lookup("pubkey")
	}
	done := 0
	for _, lost := range s.Created(Devices, gap) {
		if done == count {
			break
		}
		key, hasKey := keys[lost.Lookup("_id").String()]
		if known[identityOf(lost)] || !hasKey {
			continue
		}
		again := with(data.device(identity{}, "", "pending"), bson.D{{Key: "tenant_id", Value: lost.Lookup("tenant_id")},
			{Key: "id_data", Value: lost.Lookup("id_data")}, {Key: "id_data_struct", Value: lost.Lookup("id_data_struct")},
			{Key: "id_data_sha256", Value: lost.Lookup("id_data_sha256")}})
		for _, each := range []struct {
			ns       string
			document bson.Raw
		}{
			{Devices, again}, {AuthSets, with(data.authSet(again), bson.D{{Key: "pubkey", Value: key}})}, {Enrollments, data.enrollment(again)},
		} {
			if err := s.insertOne(ctx, each.ns, each.document); err != nil {
				return done, fmt.Errorf("enroll again: %w", err)
			}
		}
		done++
	}
	return done, nil
}

// identityOf is what the unique index of devices forbids to share.
func identityOf(device bson.Raw) string {
	return device.Lookup("tenant_id").String() + " " + device.Lookup("id_data_sha256").String()
}

// identities are those that are taken now.
func (s *Story) identities() map[string]bool {
	taken := map[string]bool{}
	for _, device := range s.model.At(Devices, s.model.Now()) {
		taken[identityOf(device)] = true
	}
	return taken
}

// PutBack records what the data team's decisions must have brought about: of what the gap made, everything that a person
// wants and that collides with nothing that is live. It gives those documents by collection.
func (s *Story) PutBack(gap Gap, wanted func(ns string, document bson.Raw) bool) map[string][]bson.Raw {
	back := map[string][]bson.Raw{}
	devices := s.identities()
	sets := map[string]bool{}
	for _, set := range s.model.At(AuthSets, s.model.Now()) {
		sets[setOf(set)] = true
	}
	for _, ns := range []string{Devices, AuthSets, Tokens, Enrollments} {
		live := s.model.At(ns, s.model.Now())
		for _, document := range s.Created(ns, gap) {
			taken := live[idText(document)] != nil || ns == Devices && devices[identityOf(document)] || ns == AuthSets && sets[setOf(document)]
			if taken || !wanted(ns, document) {
				continue
			}
			s.model.Put(ns, document)
			back[ns] = append(back[ns], document)
		}
	}
	return back
}

// TakeBack records that what was put back is gone again.
func (s *Story) TakeBack(back map[string][]bson.Raw) {
	for ns, documents := range back {
		for _, document := range documents {
			s.model.Remove(ns, document)
		}
	}
}

// setOf is what the unique index of auth sets forbids to share.
func setOf(set bson.Raw) string { return identityOf(set) + " " + set.Lookup("pubkey").String() }
