package mongotest

import (
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// mongodProgram is the server program on this machine, empty if there is none.
func mongodProgram() string {
	if program := os.Getenv("PITR_TEST_MONGOD"); program != "" {
		return program
	}
	program, err := exec.LookPath("mongod")
	if err != nil {
		return ""
	}
	return program
}

// startMongod runs a fresh one-member set in a temporary folder until the test ends.
func (i *Instance) startMongod(t testing.TB, program string, need Need) {
	t.Helper()
	folder := t.TempDir()
	port := freePort(t)
	set := need.Options.SetName
	if set == "" {
		set = "rs0"
	}
	arguments := []string{
		"--replSet", set, "--dbpath", folder, "--port", port, "--bind_ip", "127.0.0.1", "--oplogSize", "990", "--wiredTigerCacheSizeGB", "0.5",
		"--unixSocketPrefix", folder, "--setParameter", "enableTestCommands=1",
	}
	if len(need.Users) > 0 {
		arguments = append(arguments, "--auth", "--keyFile", keyFile(t, folder))
	}
	log, err := os.Create(filepath.Join(folder, "mongod.log"))
	if err != nil {
		t.Fatal(err)
	}
	process := exec.Command(program, arguments...) //nolint:gosec,noctx // the test's own server; it ends in the cleanup
	process.Stdout, process.Stderr = log, log
	if err := process.Start(); err != nil {
		t.Fatalf("start %s: %v", program, err)
	}
	t.Cleanup(func() {
		_ = process.Process.Kill() // its folder goes with it
		_ = process.Wait()
		_ = log.Close()
	})
	host := net.JoinHostPort("127.0.0.1", port)
	i.Kind, i.URI = Mongod, "mongodb://"+host+"/?replicaSet="+set
	if err := initiate(t, host, set, need.Users); err != nil {
		content, _ := os.ReadFile(log.Name())
		t.Fatalf("start a set of %s: %v\n%s", program, err, lastLines(string(content), 20))
	}
	if len(need.Users) > 0 {
		i.URI = withLogin(t, i.URI, administrator)
	}
}

func freePort(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed at once
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// keyFile makes the secret that the members of a set with authentication share.
func keyFile(t testing.TB, folder string) string {
	t.Helper()
	name := filepath.Join(folder, "keyfile")
	if err := os.WriteFile(name, []byte(base64.StdEncoding.EncodeToString([]byte(folder))), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// initiate makes the set, waits for its primary, and creates the users; the first one through the localhost exception.
func initiate(t testing.TB, host, set string, users []User) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), cleaning)
	defer cancel()
	client, err := mongo.Connect(options.Client().ApplyURI("mongodb://" + host + "/?directConnection=true").SetServerSelectionTimeout(time.Minute))
	if err != nil {
		return err
	}
	defer func() { _ = client.Disconnect(ctx) }()
	admin := client.Database("admin")
	config := bson.D{{Key: "_id", Value: set}, {Key: "members", Value: bson.A{bson.D{{Key: "_id", Value: 0}, {Key: "host", Value: host}}}}}
	if err := admin.RunCommand(ctx, bson.D{{Key: "replSetInitiate", Value: config}}).Err(); err != nil {
		return fmt.Errorf("initiate: %w", err)
	}
	if err := awaitPrimary(ctx, admin); err != nil {
		return err
	}
	if len(users) == 0 {
		return nil
	}
	if err := createUser(ctx, admin, administrator); err != nil {
		return err
	}
	own, err := mongo.Connect(options.Client().ApplyURI(withLogin(t, "mongodb://"+host+"/?directConnection=true", administrator)))
	if err != nil {
		return err
	}
	defer func() { _ = own.Disconnect(ctx) }()
	for _, user := range users {
		if err := createUser(ctx, own.Database("admin"), user); err != nil {
			return err
		}
	}
	return nil
}

func awaitPrimary(ctx context.Context, admin *mongo.Database) error {
	for {
		var hello struct{ IsWritablePrimary bool }
		if err := admin.RunCommand(ctx, bson.D{{Key: "hello", Value: 1}}).Decode(&hello); err != nil {
			return fmt.Errorf("wait for the primary: %w", err)
		}
		if hello.IsWritablePrimary {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the primary: %w", ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func createUser(ctx context.Context, admin *mongo.Database, user User) error {
	roles := bson.A{}
	for _, role := range user.Roles {
		if name, db, found := strings.Cut(role, "@"); found {
			roles = append(roles, bson.D{{Key: "role", Value: name}, {Key: "db", Value: db}})
			continue
		}
		roles = append(roles, role)
	}
	err := admin.RunCommand(ctx, bson.D{{Key: "createUser", Value: user.Name}, {Key: "pwd", Value: user.Password}, {Key: "roles", Value: roles}}).Err()
	if err != nil {
		return fmt.Errorf("create the user %s: %w", user.Name, err)
	}
	return nil
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
