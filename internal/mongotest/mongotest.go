// Package mongotest gives a test a replica set that can do what the test asks for.
//
// It tries, in this order: the set that PITR_TEST_URI names, a mongod of its own (PITR_TEST_MONGOD, or mongod on PATH) as a
// fresh one-member set on the loopback, and the simulated set of internal/replsim, which is always there. The first one with
// the needed capabilities serves the test; which one that is, is printed once.
//
// On a set that somebody else started it refuses to work if there is a user database that no test made, holds a lock
// against other test processes, and drops what the test leaves. It does not hide the server from the test: what only one
// kind of server has (Instance.Sim) must be asked for in Need.
package mongotest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"pitr/internal/replsim"
)

// Kind is what serves a test.
type Kind string

// The kinds.
const (
	Given     Kind = "the set of PITR_TEST_URI"
	Mongod    Kind = "a mongod of its own"
	Simulated Kind = "the simulated set"
)

// Need is what a test asks of its server. The zero value is any set without authentication.
type Need struct {
	// Users are logins with roles of the database admin; any of them switches authentication on.
	Users []User
	// Faults asks for Instance.Sim, the hooks that only the simulated set has.
	Faults bool
	// Options go to the simulated set when it serves.
	Options replsim.Options
}

// User is a login.
type User struct {
	Name, Password string
	// Roles are names of roles of admin, or "role@db".
	Roles []string
}

// Instance is the server of one test.
type Instance struct {
	// URI connects without a login, or as the server's own administrator where logins are asked for.
	URI  string
	Kind Kind
	// Sim is the simulated set with its hooks; nil for other kinds.
	Sim *replsim.Server

	// closers end what was started, the last first.
	closers []func()

	users map[string]User
}

// administrator is the login by which a server with authentication is set up and cleaned.
var administrator = User{Name: "mongotest", Password: "mongotest", Roles: []string{"root"}}

// Start gives a test its server; the server ends, or is cleaned, with the test.
func Start(t testing.TB, need Need) *Instance {
	t.Helper()
	if uri := os.Getenv("PITR_TEST_URI"); uri != "" && !need.Faults && len(need.Users) == 0 {
		instance := &Instance{users: map[string]User{}}
		instance.useGiven(t, uri)
		announce(instance.Kind)
		return instance
	}
	instance, err := Launch(t.Context(), need)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(instance.Close)
	announce(instance.Kind)
	return instance
}

// Launch starts a server of its own, a mongod or the simulated set, for whoever is no test. It is up until Close.
func Launch(ctx context.Context, need Need) (*Instance, error) {
	instance := &Instance{users: map[string]User{}}
	for _, user := range need.Users {
		instance.users[user.Name] = user
	}
	start := instance.startSimulated
	if program := mongodProgram(); program != "" && !need.Faults {
		start = func(ctx context.Context, need Need) error { return instance.startMongod(ctx, program, need) }
	}
	if err := start(ctx, need); err != nil {
		instance.Close()
		return nil, err
	}
	return instance, nil
}

// Close ends a server that was started here; one that somebody else started goes on.
func (i *Instance) Close() {
	for _, end := range slices.Backward(i.closers) {
		end()
	}
	i.closers = nil
}

var announced sync.Once

// announce prints, once per test binary, what serves its tests.
func announce(kind Kind) {
	announced.Do(func() { fmt.Fprintf(os.Stderr, "tests run on %s\n", kind) })
}

// As gives the connection string of one of the users that the test asked for.
func (i *Instance) As(t testing.TB, name string) string {
	t.Helper()
	uri, err := i.Login(name)
	if err != nil {
		t.Fatal(err)
	}
	return uri
}

// Login gives the connection string of one of the users that were asked for.
func (i *Instance) Login(name string) (string, error) {
	user, ok := i.users[name]
	if !ok {
		return "", fmt.Errorf("nobody asked for a user %q", name)
	}
	return withLogin(i.URI, user)
}

func withLogin(uri string, user User) (string, error) {
	u, err := url.Parse(uri)
	if err != nil {
		return "", err
	}
	u.User = url.UserPassword(user.Name, user.Password)
	query := u.Query()
	query.Set("authSource", "admin")
	u.RawQuery = query.Encode()
	return u.String(), nil
}

func (i *Instance) startSimulated(ctx context.Context, need Need) error {
	o := need.Options
	if len(need.Users) > 0 {
		o.Auth = true
		for _, user := range append([]User{administrator}, need.Users...) {
			o.Users = append(o.Users, replsim.User(user))
		}
	}
	server, err := replsim.Start(context.WithoutCancel(ctx), o)
	if err != nil {
		return err
	}
	i.closers = append(i.closers, server.Close)
	i.Kind, i.Sim, i.URI = Simulated, server, server.URI()
	if o.Auth {
		i.URI, err = withLogin(i.URI, administrator)
	}
	return err
}

// cleaning is how long setting up and cleaning may take.
const cleaning = 2 * time.Minute
