package storage

import (
	"context"

	"pitr"
)

// ReadOnly is a store that refuses to change what lies in s.
func ReadOnly(s Store) Store { return readOnly{s} }

type readOnly struct{ Store }

func (readOnly) Create(_ context.Context, name string, _ []byte) error {
	return refuseWrite("create", name)
}

func (readOnly) Delete(_ context.Context, name string) error {
	return refuseWrite("delete", name)
}

func refuseWrite(op, name string) error {
	return pitr.Refusef(op+" "+name, "run a command that may write; this one promises not to", "the store is open for reading only")
}
