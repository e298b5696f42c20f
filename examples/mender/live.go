package mender

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"golang.org/x/sync/errgroup"
)

// userWritesBlocked is the server's code for a write under setUserWriteBlockMode.
const userWritesBlocked = 371

// Live is normal life: clients that write until they are stopped, or until the server blocks them, which is where a real
// service would show its maintenance page.
type Live struct {
	stop  context.CancelFunc
	group *errgroup.Group
}

// Live starts the clients. Pause is the time between two actions of one client.
func (s *Story) Live(ctx context.Context, pause time.Duration) *Live {
	ctx, stop := context.WithCancel(ctx)
	s.rounds++
	group := &errgroup.Group{}
	for owner := 1; owner <= clients; owner++ {
		data := newSource(s.seed, s.rounds<<8|uint64(owner), s.sizes.Tenants) //nolint:gosec // a small number
		group.Go(func() error { return s.liveClient(ctx, client{owner: owner, data: data}, pause) })
	}
	return &Live{stop: stop, group: group}
}

// Stop ends the clients after their present action and gives the first failure.
func (l *Live) Stop() error {
	l.stop()
	return l.group.Wait()
}

// client is one of the live clients: whose devices it writes, and where its data comes from.
type client struct {
	owner int
	data  *source
}

func (s *Story) liveClient(ctx context.Context, c client, pause time.Duration) error {
	mine := s.owned(c.owner)
	for turn := 0; ctx.Err() == nil; turn++ {
		// An action that was begun is finished, so that the model never has to guess whether the server did it.
		err := s.liveAction(context.WithoutCancel(ctx), c.data, mine, turn)
		var refused mongo.ServerError
		if errors.As(err, &refused) && refused.HasErrorCode(userWritesBlocked) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("client %d: %w", c.owner, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
	return nil
}

func (s *Story) liveAction(ctx context.Context, data *source, mine []bson.Raw, turn int) error {
	device := mine[turn%len(mine)]
	current := s.current(Devices, device)
	switch {
	case turn%5 == 1 && current != nil:
		return s.setStatus(ctx, current, data.pick("accepted", "noauth", "preauthorized"))
	case turn%5 == 2 && current != nil:
		token := data.token(current, 24*time.Hour)
		return s.insertOne(ctx, Tokens, token)
	case turn%25 == 3 && current != nil:
		return s.act(func() error {
			_, err := s.collection(Devices).DeleteOne(ctx, bson.D{{Key: "_id", Value: current.Lookup("_id")}})
			return err
		}, func() { s.model.Remove(Devices, current) })
	}
	return s.enroll(ctx, data)
}

// enroll is a new device with everything that belongs to it.
func (s *Story) enroll(ctx context.Context, data *source) error {
	device := data.device(data.identity(), data.tenant(), "accepted")
	if err := s.insertOne(ctx, Devices, device); err != nil {
		return err
	}
	if err := s.insertOne(ctx, AuthSets, data.authSet(device)); err != nil {
		return err
	}
	return s.insertOne(ctx, Enrollments, data.enrollment(device))
}

func (s *Story) insertOne(ctx context.Context, ns string, document bson.Raw) error {
	return s.act(func() error { _, err := s.collection(ns).InsertOne(ctx, document); return err },
		func() { s.model.Put(ns, document) })
}
