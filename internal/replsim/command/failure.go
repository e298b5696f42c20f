package command

import (
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql"
)

// Codes that the server raises beside those of the query library.
const (
	BadValue                  int32 = 2
	Unauthorized              int32 = 13
	TypeMismatch              int32 = 14
	InvalidLength             int32 = 16
	NamespaceNotFound         int32 = 26
	IndexNotFound             int32 = 27
	CursorNotFound            int32 = 43
	NamespaceExists           int32 = 48
	MaxTimeMSExpired          int32 = 50
	CommandNotFound           int32 = 59
	InvalidOptions            int32 = 72
	InvalidNamespace          int32 = 73
	IllegalOperation          int32 = 20
	FailedToParse             int32 = 9
	WriteConflict             int32 = 112
	CommandNotSupported       int32 = 115
	QueryPlanKilled           int32 = 175
	KeyNotFound               int32 = 211
	TransactionTooOld         int32 = 225
	NotImplemented            int32 = 238
	SnapshotTooOld            int32 = 239
	SnapshotUnavailable       int32 = 246
	NoSuchTransaction         int32 = 251
	NotSupportedInTransaction int32 = 263
	NotWritablePrimary        int32 = 10107
	DuplicateKey              int32 = 11000
)

// Failure is an error with what a failed reply says beside code and message.
type Failure struct {
	Code    int32
	Message string
	// Labels are errorLabels.
	Labels []string
	// Extra are fields after codeName.
	Extra bson.D
	// Lead are fields in front of ok.
	Lead bson.D
}

// Error gives the message.
func (f *Failure) Error() string { return f.Message }

// CodeName is the name of the code.
func (f *Failure) CodeName() string { return (&mql.Error{Code: f.Code}).Name() }

// Errorf makes a failure.
func Errorf(code int32, format string, args ...any) *Failure {
	return &Failure{Code: code, Message: fmt.Sprintf(format, args...)}
}

// FailureOf turns any error into what a reply can say.
func FailureOf(err error) *Failure {
	var f *Failure
	if errors.As(err, &f) {
		copied := *f
		return &copied
	}
	var e *mql.Error
	if errors.As(err, &e) {
		return &Failure{Code: e.Code, Message: e.Message, Extra: extra(e)}
	}
	return &Failure{Code: 1, Message: err.Error()}
}

// extra is what a reply shows of an error beside code and message: keyPattern and keyValue of a duplicate key, or errInfo.
func extra(e *mql.Error) bson.D {
	if e.Info == nil {
		return nil
	}
	if e.Code != DuplicateKey {
		return bson.D{{Key: "errInfo", Value: e.Info}}
	}
	elements, err := e.Info.Elements()
	if err != nil {
		return nil
	}
	var d bson.D
	for _, one := range elements {
		d = append(d, bson.E{Key: one.Key(), Value: one.Value()})
	}
	return d
}

// typeNames are the server's names of BSON types.
var typeNames = map[bson.Type]string{
	bson.TypeDouble: "double", bson.TypeString: "string", bson.TypeEmbeddedDocument: "object", bson.TypeArray: "array",
	bson.TypeBinary: "binData", bson.TypeUndefined: "undefined", bson.TypeObjectID: "objectId", bson.TypeBoolean: "bool",
	bson.TypeDateTime: "date", bson.TypeNull: "null", bson.TypeRegex: "regex", bson.TypeDBPointer: "dbPointer",
	bson.TypeJavaScript: "javascript", bson.TypeSymbol: "symbol", bson.TypeCodeWithScope: "javascriptWithScope",
	bson.TypeInt32: "int", bson.TypeTimestamp: "timestamp", bson.TypeInt64: "long", bson.TypeDecimal128: "decimal",
	bson.TypeMinKey: "minKey", bson.TypeMaxKey: "maxKey", 0: "missing",
}

// TypeName is the server's name of a type.
func TypeName(t bson.Type) string { return typeNames[t] }

// Shown is a command as messages of the server show it.
func Shown(body bson.Raw) string {
	return mql.Text(bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: body})
}
