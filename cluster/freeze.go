package cluster

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

const (
	// blockPatience is how long the server may wait for open transactions before it gives up setting the block.
	blockPatience = 5 * time.Second
	// blockStands is the state that serverStatus reports while user writes are blocked.
	blockStands = 2
)

// WriteBlock tells whether user writes are blocked, and what we may do about it.
func (p *Primary) WriteBlock(ctx context.Context) (pitr.WriteBlock, error) {
	var block pitr.WriteBlock
	if !p.client.version.atLeast(6, 0) || p.client.server.Ability != pitr.AbilityFull {
		block.Missing = "the server has no write block: replica sets of 6.0 and later have it"
		return block, nil
	}
	reply, err := p.link.read(ctx, order{op: "ask about the write block", db: "admin", command: bson.D{
		{Key: "serverStatus", Value: 1}, {Key: "repl", Value: 1}, {Key: "metrics", Value: 0}, {Key: "wiredTiger", Value: 0},
		{Key: "tcmalloc", Value: 0}, {Key: "locks", Value: 0}}})
	if err != nil {
		return block, err
	}
	state, _ := reply.Lookup("repl", "userWriteBlockMode").AsInt64OK()
	block.Standing = state == blockStands
	if !p.client.server.Authenticated {
		block.MaySet = true
		block.Missing = "without authentication nobody can write while the block stands, not even pitr"
		return block, nil
	}
	grants, err := p.link.grants(ctx)
	if err != nil {
		return block, err
	}
	block.MaySet = may(grants, resource{cluster: true}, actionBlock)
	block.MayPass = may(grants, resource{cluster: true}, actionPass)
	if !block.Usable() {
		block.Missing = "our login lacks the rights of the role restore to set and to pass the write block"
	}
	return block, nil
}

// BlockWrites stops the writes of users. Open transactions are waited for a few seconds; when they do not end, nothing is
// switched and the error is of kind unavailable.
func (p *Primary) BlockWrites(ctx context.Context) error {
	return p.switchBlock(ctx, "block user writes", true)
}

// UnblockWrites lifts the block, whoever set it.
func (p *Primary) UnblockWrites(ctx context.Context) error {
	return p.switchBlock(ctx, "lift the write block", false)
}

// switchBlock may run twice: the server takes a second block, and a second lifting, in silence.
func (p *Primary) switchBlock(ctx context.Context, op string, on any) error {
	reply, err := p.link.read(ctx, order{op: op, db: "admin", command: bson.D{{Key: "setUserWriteBlockMode", Value: 1},
		{Key: "global", Value: on}, {Key: "maxTimeMS", Value: blockPatience.Milliseconds()}}})
	if err != nil {
		return err
	}
	_, err = p.done(op, reply)
	return err
}
