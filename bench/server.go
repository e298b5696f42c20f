package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"runtime/debug"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/bench/orders"
	"pitr/cluster"
	"pitr/internal/replsim"
)

// server is a simulated set in another process, with three users: the application, and pitr's two.
type server struct {
	App, Read, Restore string
	stop               func()
}

var users = []replsim.User{
	{Name: "app", Password: "app", Roles: []string{"readWriteAnyDatabase", "dbAdminAnyDatabase"}},
	{Name: "read", Password: "read", Roles: []string{"backup", "clusterMonitor"}},
	{Name: "restore", Password: "restore", Roles: []string{"restore", "readWriteAnyDatabase", "clusterMonitor"}},
}

// seed is that of the documents, the same in every run.
const seed = 1

func collectionName(n int) pitr.Namespace {
	return pitr.Namespace{DB: "bench", Collection: fmt.Sprintf("orders%d", n)}
}

// serve is the other process. It prints where it can be reached once its documents are loaded, and ends with its input.
func serve(ctx context.Context, s settings) error {
	simulated, err := replsim.Start(ctx, replsim.Options{Auth: true, Users: users})
	if err != nil {
		return err
	}
	defer simulated.Close()
	var at server
	for i, uri := range []*string{&at.App, &at.Read, &at.Restore} {
		place, err := url.Parse(simulated.URI())
		if err != nil {
			return err
		}
		place.User = url.UserPassword(users[i].Name, users[i].Password)
		*uri = place.String() + "&authSource=admin"
	}
	if err := fill(ctx, at.App, s); err != nil {
		return err
	}
	debug.FreeOSMemory()
	if err := json.NewEncoder(os.Stdout).Encode(at); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func fill(ctx context.Context, uri string, s settings) error {
	client, err := cluster.Connect(ctx, cluster.Options{URI: uri})
	if err != nil {
		return err
	}
	defer client.Close(ctx)
	made, primary := orders.New(seed), client.Primary()
	for c := range s.collections {
		var documents []bson.Raw
		for range s.documents / s.collections {
			if documents = append(documents, made.Next()); len(documents) == 10_000 {
				if err := primary.Load(ctx, collectionName(c), documents); err != nil {
					return err
				}
				documents = documents[:0]
			}
		}
		if err := primary.Load(ctx, collectionName(c), documents); err != nil {
			return err
		}
	}
	return nil
}

// startServer runs the other process with the documents that the settings ask for.
func startServer(ctx context.Context, s settings) (server, error) {
	self, err := os.Executable()
	if err != nil {
		return server{}, err
	}
	child := exec.CommandContext(ctx, self, "-serve", fmt.Sprintf("-documents=%d", s.documents), fmt.Sprintf("-collections=%d", s.collections))
	child.Stderr = os.Stderr
	input, err := child.StdinPipe()
	if err != nil {
		return server{}, err
	}
	output, err := child.StdoutPipe()
	if err != nil {
		return server{}, err
	}
	if err := child.Start(); err != nil {
		return server{}, err
	}
	at := server{stop: func() { _ = input.Close(); _ = child.Wait() }}
	line, err := bufio.NewReader(output).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &at)
	}
	if err != nil {
		at.stop()
		return server{}, fmt.Errorf("the server did not start: %w", err)
	}
	return at, nil
}
