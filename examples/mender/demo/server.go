package main

import (
	"context"
	"fmt"
	"net/url"

	"pitr/examples/mender"
	"pitr/internal/replsim"
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
var users = []replsim.User{
	{Name: "deviceauth", Password: "app-secret", Roles: []string{"readWriteAnyDatabase", "dbAdminAnyDatabase"}},
	{Name: "pitr-read", Password: "read-secret", Roles: []string{"backup", "clusterMonitor"}},
	{Name: "pitr-restore", Password: "restore-secret", Roles: []string{"restore", "readWriteAnyDatabase", "clusterMonitor"}},
}

func startServer(ctx context.Context) (server, error) {
	simulated, err := replsim.Start(context.WithoutCancel(ctx), replsim.Options{SetName: "rs0", Auth: true, Users: users})
	if err != nil {
		return server{}, fmt.Errorf("start the simulated replica set: %w", err)
	}
	uris := make([]string, len(users))
	for i, user := range users {
		place, err := url.Parse(simulated.URI())
		if err != nil {
			return server{}, err
		}
		place.User = url.UserPassword(user.Name, user.Password)
		query := place.Query()
		query.Set("authSource", "admin")
		place.RawQuery = query.Encode()
		uris[i] = place.String()
	}
	return server{
		kind: "a simulated replica set (internal/replsim), with authentication",
		app:  uris[0], read: uris[1], restore: uris[2], close: simulated.Close,
	}, nil
}
