package command

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

// Level is a read concern.
type Level string

// The levels.
const (
	LevelLocal        Level = "local"
	LevelAvailable    Level = "available"
	LevelMajority     Level = "majority"
	LevelSnapshot     Level = "snapshot"
	LevelLinearizable Level = "linearizable"
)

// ReadConcern is what a read asks for.
type ReadConcern struct {
	Level Level
	// At is atClusterTime, or the time that the server chose for a snapshot; After is afterClusterTime.
	At, After pitr.Timestamp
}

// ParseReadConcern reads the field of a command.
func ParseReadConcern(value bson.RawValue) (ReadConcern, error) {
	c := ReadConcern{Level: LevelLocal}
	if value.Type == 0 {
		return c, nil
	}
	doc, ok := value.DocumentOK()
	if !ok {
		return c, Errorf(TypeMismatch, "BSON field 'readConcern' is the wrong type '%s', expected type 'object'", TypeName(value.Type))
	}
	if level := doc.Lookup("level"); level.Type != 0 {
		text, _ := level.StringValueOK()
		c.Level = Level(text)
	}
	switch c.Level {
	case LevelLocal, LevelAvailable, LevelMajority, LevelSnapshot, LevelLinearizable:
	default:
		return c, Errorf(BadValue, "Enumeration value '%s' for field 'readConcern.level' is not a valid value.", c.Level)
	}
	c.At, c.After = timestamp(doc.Lookup("atClusterTime")), timestamp(doc.Lookup("afterClusterTime"))
	switch {
	case c.At != 0 && c.After != 0:
		return c, Errorf(InvalidOptions, "Specifying a timestamp for readConcern snapshot in both atClusterTime and afterClusterTime is not allowed.")
	case c.At != 0 && c.Level != LevelSnapshot:
		return c, Errorf(InvalidOptions, "atClusterTime field can be set only if readConcern level is snapshot.")
	}
	return c, nil
}

func timestamp(value bson.RawValue) pitr.Timestamp {
	t, i, ok := value.TimestampOK()
	if !ok {
		return 0
	}
	return pitr.NewTimestamp(t, i)
}

// WriteConcern is when a write counts as done.
type WriteConcern struct {
	// Majority is w: "majority"; otherwise W members are asked for.
	Majority bool
	W        int64
	Timeout  int64
	// Given says that the client sent it.
	Given bool
	// Doc is the text of it for messages.
	Doc bson.D
}

// ParseWriteConcern reads the field of a command. Without one the default of the set counts: the majority.
func ParseWriteConcern(value bson.RawValue) (WriteConcern, error) {
	c := WriteConcern{Majority: true}
	doc, ok := value.DocumentOK()
	if !ok && value.Type != 0 {
		return c, Errorf(TypeMismatch, "BSON field 'writeConcern' is the wrong type '%s', expected type 'object'", TypeName(value.Type))
	}
	w := doc.Lookup("w")
	timeout, _ := doc.Lookup("wtimeout").AsInt64OK()
	c.Timeout, c.Given = timeout, w.Type != 0
	switch text, isText := w.StringValueOK(); {
	case isText && text == "majority", w.Type == 0:
		c.Doc = bson.D{{Key: "w", Value: "majority"}}
	case isText:
		return c, Errorf(79, "No write concern mode named '%s' found in replica set configuration", text)
	default:
		n, isNumber := w.AsInt64OK()
		if !isNumber || n < 0 || n > 50 {
			return c, Errorf(FailedToParse, "w has to be a non-negative number and not greater than 50; found: %d", n)
		}
		c.Majority, c.W = false, n
		c.Doc = bson.D{{Key: "w", Value: int32(n)}} //nolint:gosec // checked above
	}
	provenance := "implicitDefault"
	if c.Given {
		provenance = "clientSupplied"
	}
	c.Doc = append(c.Doc, bson.E{Key: "wtimeout", Value: int32(timeout)}, bson.E{Key: "provenance", Value: provenance}) //nolint:gosec // milliseconds
	return c, nil
}
