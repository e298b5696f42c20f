package replsim

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/auth"
	"pitr/internal/replsim/command"
	"pitr/internal/replsim/store"
	"pitr/internal/replsim/users"
)

// initiate writes what a set has right after its first election.
func (s *Server) initiate(ctx context.Context) error {
	err := s.store.Update(func() error {
		if err := s.message("initiating set"); err != nil {
			return err
		}
		s.store.Elect()
		if err := s.message("new primary"); err != nil {
			return err
		}
		for _, ns := range []string{
			"config.transactions", "config.image_collection", "config.system.indexBuilds", "config.system.preimages",
			"config.user_writes_critical_sections", "admin.system.version", "admin.system.users", "admin.system.roles",
			"local.system.replset", "local.startup_log",
		} {
			if err := s.createInternal(ns); err != nil {
				return err
			}
		}
		return s.seed()
	})
	if err != nil {
		return err
	}
	for _, user := range s.options.Users {
		fresh := users.NewUser{Name: user.Name, Password: user.Password, DB: "admin"}
		for _, role := range user.Roles {
			name, db, found := strings.Cut(role, "@")
			if !found {
				db = "admin"
			}
			fresh.Roles = append(fresh.Roles, auth.RoleName{Role: name, DB: db})
		}
		if err := s.users.Create(ctx, &command.Request{}, fresh); err != nil {
			return err
		}
	}
	return nil
}

// ownSession makes the session of a transaction that the server runs by itself.
func (s *Server) ownSession() store.Session {
	lsid, err := bson.Marshal(bson.D{{Key: "id", Value: s.store.NewUUID().Binary()}})
	if err != nil {
		return store.Session{}
	}
	return store.Session{LSID: s.sessions.Find(lsid, "").ID}
}

func (s *Server) createInternal(ns string) error {
	u := s.store.Begin()
	c, err := u.Create(store.NewCollection{NS: ns, IDIndex: idIndex, Silent: store.DB(ns) == "local"})
	if err != nil {
		u.Abort()
		return err
	}
	u.Commit()
	switch ns {
	case "config.transactions", "config.image_collection", "config.system.preimages":
		c.Quiet()
	}
	return nil
}

var idIndex = func() bson.Raw {
	raw, err := bson.Marshal(bson.D{{Key: "v", Value: int32(2)}, {Key: "key", Value: bson.D{{Key: "_id", Value: int32(1)}}}, {Key: "name", Value: "_id_"}})
	if err != nil {
		panic(err) // a constant
	}
	return raw
}()

// seed writes the documents that every set has.
func (s *Server) seed() error {
	for _, one := range []struct {
		ns  string
		doc bson.D
	}{
		{"admin.system.version", bson.D{{Key: "_id", Value: "featureCompatibilityVersion"}, {Key: "version", Value: "7.1"}}},
		{"admin.system.version", bson.D{{Key: "_id", Value: "authSchema"}, {Key: "currentVersion", Value: int32(5)}}},
		{"local.system.replset", s.admin.Config()},
	} {
		if err := s.insertInternal(one.ns, one.doc); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) insertInternal(ns string, doc bson.D) error {
	raw, err := bson.Marshal(doc)
	if err != nil {
		return err
	}
	u := s.store.Begin()
	if _, err := u.Insert(s.store.Find(ns, store.Latest), raw, store.Note{}); err != nil {
		u.Abort()
		return err
	}
	u.Commit()
	return nil
}

// housekeep does what a server does by the clock: no-ops when idle, the TTL monitor, the end of old transactions and cursors.
func (s *Server) housekeep(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.expireTransactions()
			s.reads.Sweep()
			s.noopWhenIdle()
		}
	}
}

// watchTTL runs the TTL monitor.
func (s *Server) watchTTL(ctx context.Context) {
	for {
		interval := s.options.TTLInterval
		if interval == 0 {
			seconds, _ := s.admin.Params.Get("ttlMonitorSleepSecs").(int32)
			interval = time.Duration(max(1, seconds)) * time.Second
		}
		timer := time.NewTimer(interval)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
			s.RunTTL()
		}
	}
}

// noopWhenIdle logs a no-op if nothing was written for the interval that the set keeps.
func (s *Server) noopWhenIdle() {
	interval, ok := s.admin.Params.Get("periodicNoopIntervalSecs").(int32)
	if !ok {
		return
	}
	_ = s.store.Update(func() error { // a failure is no news: the next one comes
		if s.now().Sub(s.store.Written().TS.Time()) < time.Duration(interval)*time.Second {
			return nil
		}
		return s.message("periodic noop")
	})
}

// objectIDs makes ObjectIds by the clock of the server.
type objectIDs struct {
	now     func() time.Time
	random  [5]byte
	counter atomic.Uint32
}

func (o *objectIDs) next() bson.ObjectID {
	if o.counter.Load() == 0 {
		_, _ = rand.Read(o.random[:]) // never fails
	}
	n := o.counter.Add(1)
	var id bson.ObjectID
	binary.BigEndian.PutUint32(id[:4], uint32(o.now().Unix())) //nolint:gosec // seconds fit until 2106
	copy(id[4:9], o.random[:])
	id[9], id[10], id[11] = byte(n>>16), byte(n>>8), byte(n) //nolint:gosec // its bytes
	return id
}

// letters makes the random part of temporary names.
func letters(n int) string {
	const alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	content := make([]byte, n)
	_, _ = rand.Read(content) // never fails
	for i, b := range content {
		content[i] = alphabet[int(b)%len(alphabet)]
	}
	return string(content)
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
