// Package command is what all commands of the simulated server share: the request as it came, the reply as it grows, and
// the description of a command by which the server finds, checks and runs it.
//
// It runs nothing itself and holds no data.
package command

import (
	"context"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/internal/replsim/auth"
	"pitr/internal/replsim/mql"
	"pitr/internal/replsim/session"
	"pitr/internal/replsim/store"
	"pitr/internal/replsim/wire"
)

// Client is one connection.
type Client struct {
	ID     int64
	Remote string
	// Metadata is the client document of the first hello.
	Metadata bson.Raw
	// Login is who the connection authenticated as.
	Login *auth.Login
	// Conversation is a login in progress.
	Conversation *auth.Conversation
	// LastOp is the newest optime that the connection wrote.
	LastOp pitr.OpTime
}

// AppName is the name the client gave itself.
func (c *Client) AppName() string {
	name, _ := c.Metadata.Lookup("application", "name").StringValueOK()
	return name
}

// Request is one command.
type Request struct {
	Client *Client
	// Command is what is being run.
	Command *Command
	// Name is the first field as it was sent.
	Name string
	DB   string
	Body bson.Raw

	Sequences    []wire.Sequence
	ReadConcern  ReadConcern
	WriteConcern WriteConcern
	// Deadline is when maxTimeMS ends the command; zero is never.
	Deadline time.Time
	// Session is set when the command came with one.
	Session *session.Session
	// TxnNumber is that of a transaction or a retryable write; Retryable and InTransaction say which.
	TxnNumber                int64
	Retryable, InTransaction bool
	// Unit is the open transaction, nil outside of one.
	Unit *store.Unit
}

// Argument gives the value of the first field.
func (r *Request) Argument() bson.RawValue {
	elements, err := r.Body.Elements()
	if err != nil || len(elements) == 0 {
		return bson.RawValue{}
	}
	return elements[0].Value()
}

// Lookup gives a field of the body, the zero value if it is absent.
func (r *Request) Lookup(name string) bson.RawValue { return r.Body.Lookup(name) }

// Document gives a field that is a document, nil if it is absent or null.
func (r *Request) Document(name string) (bson.Raw, error) {
	value := r.Body.Lookup(name)
	if value.Type == 0 || value.Type == bson.TypeNull {
		return nil, nil
	}
	doc, ok := value.DocumentOK()
	if !ok {
		return nil, r.wrongType(name, value, "object")
	}
	return doc, nil
}

// Int gives a field that is a whole number, and the fallback if it is absent.
func (r *Request) Int(name string, fallback int64) (int64, error) {
	value := r.Body.Lookup(name)
	if value.Type == 0 || value.Type == bson.TypeNull {
		return fallback, nil
	}
	n, ok := value.AsInt64OK()
	if !ok {
		return 0, r.wrongType(name, value, "long")
	}
	return n, nil
}

// Flag gives a field that is true or false; a number counts as true unless it is zero.
func (r *Request) Flag(name string) bool { return Truth(r.Body.Lookup(name)) }

// Truth is how the server reads a flag.
func Truth(value bson.RawValue) bool {
	switch value.Type {
	case bson.TypeBoolean:
		return value.Boolean()
	case bson.TypeInt32, bson.TypeInt64, bson.TypeDouble, bson.TypeDecimal128:
		n, ok := value.AsFloat64OK()
		return !ok || n != 0
	case 0, bson.TypeNull, bson.TypeUndefined:
		return false
	}
	return true
}

// Text gives a field that is a string, empty if it is absent.
func (r *Request) Text(name string) string {
	text, _ := r.Body.Lookup(name).StringValueOK()
	return text
}

func (r *Request) wrongType(name string, value bson.RawValue, want string) error {
	return Errorf(TypeMismatch, "BSON field '%s.%s' is the wrong type '%s', expected type '%s'", r.Command.Struct, name, TypeName(value.Type), want)
}

// Documents gives the documents of a sequence, or of the array of the same name in the body.
func (r *Request) Documents(name string) ([]bson.Raw, error) {
	for _, sequence := range r.Sequences {
		if sequence.Name == name {
			return sequence.Documents, nil
		}
	}
	value := r.Body.Lookup(name)
	if value.Type == 0 {
		return nil, Errorf(40414, "BSON field '%s.%s' is missing but a required field", r.Command.Struct, name)
	}
	array, ok := value.ArrayOK()
	if !ok {
		return nil, r.wrongType(name, value, "array")
	}
	values, err := array.Values()
	if err != nil {
		return nil, err
	}
	documents := make([]bson.Raw, len(values))
	for i, v := range values {
		if documents[i], ok = v.DocumentOK(); !ok {
			return nil, Errorf(TypeMismatch, "BSON field '%s.%s.%d' is the wrong type '%s', expected type 'object'", r.Command.Struct, name, i, TypeName(v.Type))
		}
	}
	return documents, nil
}

// Namespace gives "db.collection" from a first field that is a collection name.
func (r *Request) Namespace() (string, error) {
	value := r.Argument()
	name, ok := value.StringValueOK()
	if !ok {
		return "", Errorf(InvalidNamespace, "collection name has invalid type %s", TypeName(value.Type))
	}
	if name == "" || strings.Contains(name, "\x00") || strings.HasPrefix(name, ".") {
		return "", Errorf(InvalidNamespace, "Invalid namespace specified '%s.%s'", r.DB, name)
	}
	return r.DB + "." + name, nil
}

// Moment is what the command reads.
func (r *Request) Moment(s *store.Store) store.Moment {
	switch {
	case r.Unit != nil:
		return r.Unit.Moment
	case r.ReadConcern.Level == LevelMajority:
		return store.Moment{TS: s.Majority().TS}
	case r.ReadConcern.Level == LevelSnapshot:
		return store.Moment{TS: r.ReadConcern.At}
	}
	return store.Latest
}

// Context gives a context that ends at the deadline of the command, with the error that the server gives then.
func (r *Request) Context(ctx context.Context, now time.Time) (context.Context, context.CancelFunc) {
	if r.Deadline.IsZero() {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, r.Deadline.Sub(now), errTimeLimit)
}

var errTimeLimit = Errorf(MaxTimeMSExpired, "operation exceeded time limit")

// Let is the document of variables, nil if there is none.
func (r *Request) Let() bson.Raw {
	let, _ := r.Body.Lookup("let").DocumentOK()
	return let
}

// Options are what the query library needs of a request.
func (r *Request) Options(s *store.Store) mql.Options {
	collation, _ := r.Body.Lookup("collation").DocumentOK()
	return mql.Options{Let: r.Let(), Now: s.Now(), ClusterTime: s.ClusterTime().BSON(), Collation: collation}
}
