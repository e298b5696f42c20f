package command

import (
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/auth"
)

// Place says where a command may be sent.
type Place int

// The places.
const (
	AnyDatabase Place = iota
	AdminOnly
)

// Effect says what a command does to data; it decides about write concern and transactions.
type Effect int

// The effects.
const (
	// Reads leaves data alone.
	Reads Effect = iota
	// Writes changes documents and waits for the write concern.
	Writes
	// Changes is a change of the catalog or of the server.
	Changes
)

// Command describes one command.
type Command struct {
	Name    string
	Aliases []string
	// Struct is the server's name of the command's fields in its messages.
	Struct string
	// Fields are the fields it knows besides those that all commands know; nil accepts everything.
	Fields []string
	Place  Place
	Effect Effect
	// Transactions says that it may run inside of one.
	Transactions bool
	// Open says that it needs no login.
	Open bool
	// Needs are the rights it takes; nil is none beyond a login.
	Needs func(r *Request) []auth.Need
	Run   func(ctx context.Context, r *Request, out *Reply) error
}

// generic are the fields that every command accepts.
var generic = []string{
	"$db", "$clusterTime", "$readPreference", "lsid", "txnNumber", "autocommit", "startTransaction", "readConcern", "writeConcern",
	"maxTimeMS", "comment", "apiVersion", "apiStrict", "apiDeprecationErrors", "$audit", "$client", "$configServerState",
	"allowImplicitCollectionCreation", "stmtId", "stmtIds", "help", "maxTimeMSOpOnly", "coordinator", "$oplogQueryData",
	"$replData", "databaseVersion", "shardVersion", "tracking_info", "$queryOptions", "mayBypassWriteBlocking", "expectPrefix",
}

// CheckFields refuses a field that the command does not know.
func (c *Command) CheckFields(body bson.Raw) error {
	if c.Fields == nil {
		return nil
	}
	elements, err := body.Elements()
	if err != nil {
		return err
	}
	for i, e := range elements {
		name := e.Key()
		if i == 0 || slices.Contains(c.Fields, name) || slices.Contains(generic, name) {
			continue
		}
		return Errorf(40415, "BSON field '%s.%s' is an unknown field.", c.Struct, name)
	}
	return nil
}

// Table finds commands by name.
type Table map[string]*Command

// Add puts commands into the table under all their names.
func (t Table) Add(commands ...*Command) {
	for _, c := range commands {
		if c.Struct == "" {
			c.Struct = c.Name
		}
		t[c.Name] = c
		for _, alias := range c.Aliases {
			t[alias] = c
		}
	}
}
