package main

import (
	"context"
	"fmt"

	"pitr/examples/mender"
	"pitr/internal/mongotest"
)

// server is a running server with three users: the application, and pitr's two, which hold just the documented rights.
type server struct {
	kind string
	// app, read and restore are connection strings.
	app, read, restore string
	close              func()
	live               *mender.Live
}

// users are those of the demo. The rights of the two of pitr are what docs/cli.md asks for and no more.
var users = []mongotest.User{
	{Name: "deviceauth", Password: "app-secret", Roles: []string{"readWriteAnyDatabase", "dbAdminAnyDatabase"}},
	{Name: "pitr-read", Password: "read-secret", Roles: []string{"backup", "clusterMonitor"}},
	{Name: "pitr-restore", Password: "restore-secret", Roles: []string{"restore", "readWriteAnyDatabase", "clusterMonitor"}},
}

// startServer starts a mongod where this machine has one, the simulated replica set otherwise.
func startServer(ctx context.Context) (server, error) {
	instance, err := mongotest.Launch(ctx, mongotest.Need{Users: users})
	if err != nil {
		return server{}, fmt.Errorf("start a server: %w", err)
	}
	started := server{kind: fmt.Sprintf("%s, with authentication", instance.Kind), close: instance.Close}
	for i, uri := range []*string{&started.app, &started.read, &started.restore} {
		if *uri, err = instance.Login(users[i].Name); err != nil {
			instance.Close()
			return server{}, err
		}
	}
	return started, nil
}
