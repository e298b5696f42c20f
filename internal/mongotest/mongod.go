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

// startMongod runs a fresh one-member set in a temporary folder until it is closed.
func (i *Instance) startMongod(ctx context.Context, program string, need Need) error {
	folder, err := os.MkdirTemp("", "pitr-mongod-")
	if err != nil {
		return err
	}
	i.closers = append(i.closers, func() { _ = os.RemoveAll(folder) })
	port, err := freePort()
	if err != nil {
		return err
	}
	set := need.Options.SetName
	if set == "" {
		set = "rs0"
	}
	arguments := []string{
		"--replSet", set, "--dbpath", folder, "--port", port, "--bind_ip", "127.0.0.1", "--oplogSize", "990", "--wiredTigerCacheSizeGB", "0.5",
		"--unixSocketPrefix", folder, "--setParameter", "enableTestCommands=1",
	}
	if len(need.Users) > 0 {
		name, err := keyFile(folder)
		if err != nil {
			return err
		}
		arguments = append(arguments, "--auth", "--keyFile", name)
	}
	log, err := os.Create(filepath.Join(folder, "mongod.log"))
	if err != nil {
		return err
	}
	i.closers = append(i.closers, func() { _ = log.Close() })
	process := exec.Command(program, arguments...) //nolint:gosec,noctx // the server ends when the instance is closed
	process.Stdout, process.Stderr = log, log
	if err := process.Start(); err != nil {
		return fmt.Errorf("start %s: %w", program, err)
	}
	i.closers = append(i.closers, func() {
		_ = process.Process.Kill() // its folder goes with it
		_ = process.Wait()
	})
	host := net.JoinHostPort("127.0.0.1", port)
	i.Kind, i.URI = Mongod, "mongodb://"+host+"/?replicaSet="+set
	if err := initiate(ctx, member{host: host, set: set}, need.Users); err != nil {
		content, _ := os.ReadFile(log.Name())
		return fmt.Errorf("start a set of %s: %w\n%s", program, err, lastLines(string(content), 20))
	}
	if len(need.Users) > 0 {
		i.URI, err = withLogin(i.URI, administrator)
	}
	return err
}

func freePort() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed at once
	if err != nil {
		return "", err
	}
	defer func() { _ = listener.Close() }()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	return port, err
}

// keyFile makes the secret that the members of a set with authentication share.
func keyFile(folder string) (string, error) {
	name := filepath.Join(folder, "keyfile")
	return name, os.WriteFile(name, []byte(base64.StdEncoding.EncodeToString([]byte(folder))), 0o600)
}

// member is the one member of a set of our own.
type member struct{ host, set string }

// initiate makes the set, waits for its primary, and creates the users; the first one through the localhost exception.
func initiate(ctx context.Context, m member, users []User) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleaning)
	defer cancel()
	client, err := mongo.Connect(options.Client().ApplyURI("mongodb://" + m.host + "/?directConnection=true").SetServerSelectionTimeout(time.Minute))
	if err != nil {
		return err
	}
	defer func() { _ = client.Disconnect(ctx) }()
	admin := client.Database("admin")
	config := bson.D{{Key: "_id", Value: m.set}, {Key: "members", Value: bson.A{bson.D{{Key: "_id", Value: 0}, {Key: "host", Value: m.host}}}}}
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
	uri, err := withLogin("mongodb://"+m.host+"/?directConnection=true", administrator)
	if err != nil {
		return err
	}
	own, err := mongo.Connect(options.Client().ApplyURI(uri))
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
