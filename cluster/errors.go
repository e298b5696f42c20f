package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/auth"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/topology"

	"pitr"
)

// ServerError is a failure in the server's own words, without secrets. Errors of this package carry it where the server
// answered, so that a caller can tell one refusal from another by its code.
type ServerError struct {
	Code    int32
	Name    string
	Message string
	// Labels are the server's and the driver's advice: TransientTransactionError, UnknownTransactionCommitResult.
	Labels []string
}

// Error gives name, code and message.
func (e *ServerError) Error() string {
	if e.Name == "" {
		return fmt.Sprintf("%s (code %d)", e.Message, e.Code)
	}
	return fmt.Sprintf("%s (%s, code %d)", e.Message, e.Name, e.Code)
}

// Is reports the conditions of package pitr that a code stands for.
func (e *ServerError) Is(target error) bool {
	condition, known := conditions[e.Code]
	return known && condition == target
}

// codeOf gives the server's code, 0 where the server did not answer.
func codeOf(err error) int32 {
	var failure *ServerError
	if errors.As(err, &failure) {
		return failure.Code
	}
	return 0
}

// The server's error codes that this package meets in a way of their own.
const (
	codeBadValue           = 2
	codeUnauthorized       = 13
	codeAuthFailed         = 18
	codeNamespaceNotFound  = 26
	codeIndexNotFound      = 27
	codeMaxTimeExpired     = 50
	codeCommandNotFound    = 59
	codeNamespaceExists    = 48
	codeInvalidOptions     = 72
	codeWriteConflict      = 112
	codeNotSupported       = 115
	codeViewNotSupported   = 166
	codeUserWritesBlocked  = 371
	codeNotImplemented     = 238
	codeDuplicateKey       = 11000
	codeUnknownField       = 40415
	codeAtlasDenied        = 8000
	codeAtlasUserMayNot    = 8001
	codeOutOfDisk          = 14031
	codeDocumentValidation = 121
)

// conditions are the codes that callers meet in a way of their own, most of them ways in which a scan can end early. 246 stands for DDL on servers before 7.0, 175 for a drop or a rename,
// 136 for a place of the oplog that was overwritten, 211 for a resume token whose record was deleted.
var conditions = map[int32]error{
	239:                   pitr.ErrMomentGone,
	246:                   pitr.ErrMomentGone,
	43:                    pitr.ErrCursorGone,
	136:                   pitr.ErrCursorGone,
	175:                   pitr.ErrCursorGone,
	237:                   pitr.ErrCursorGone,
	11601:                 pitr.ErrCursorGone,
	211:                   pitr.ErrResumeGone,
	codeNamespaceNotFound: pitr.ErrCollectionGone,
	codeDuplicateKey:      pitr.ErrDuplicateKey,
}

// passing are codes of a member that is stepping down, starting, stopping or out of reach: worth another attempt.
var passing = []int32{6, 7, 89, 91, 189, 262, 358, 384, 9001, 10107, 11600, 11602, 13435, 13436}

// kinds maps the codes that say what sort of failure it is; see also passing.
var kinds = map[int32]pitr.Kind{
	codeUnauthorized:       pitr.KindDenied,
	codeAuthFailed:         pitr.KindDenied,
	codeAtlasDenied:        pitr.KindDenied,
	codeAtlasUserMayNot:    pitr.KindDenied,
	codeNamespaceNotFound:  pitr.KindNotFound,
	codeIndexNotFound:      pitr.KindNotFound,
	codeNamespaceExists:    pitr.KindConflict,
	codeWriteConflict:      pitr.KindConflict,
	codeDuplicateKey:       pitr.KindConflict,
	codeDocumentValidation: pitr.KindConflict,
	codeCommandNotFound:    pitr.KindUnsupported,
	codeNotSupported:       pitr.KindUnsupported,
	codeNotImplemented:     pitr.KindUnsupported,
	codeUserWritesBlocked:  pitr.KindRefused,
	codeMaxTimeExpired:     pitr.KindUnavailable,
	codeOutOfDisk:          pitr.KindLimit,
}

// failed turns whatever the driver reports into an error of this project: kind, operation, hint, no secret, and no error
// of the driver inside. A context that was cancelled speaks for itself: its cause is what happened.
func (l *link) failed(ctx context.Context, op string, err error) error {
	var known *pitr.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	case ctx.Err() != nil:
		return interrupted(ctx, op)
	}
	if failure := serverError(err, l.secrets); failure != nil {
		kind := kinds[failure.Code]
		if slices.Contains(passing, failure.Code) {
			kind = pitr.KindUnavailable
		}
		return &pitr.Error{Kind: kind, Op: op, Hint: hintFor(kind, failure.Code), Err: failure}
	}
	if isLogin(err) && !mongo.IsNetworkError(err) {
		return pitr.Errorf(pitr.KindDenied, op, hintFor(pitr.KindDenied, codeAuthFailed), "%w", l.secrets.error(err))
	}
	if isTransport(err) {
		return pitr.Errorf(pitr.KindUnavailable, op, hintFor(pitr.KindUnavailable, 0), "%w", l.secrets.error(err))
	}
	return pitr.Errorf(pitr.KindUnexpected, op, "", "%w", l.secrets.error(err))
}

// interrupted tells why a context ended: the cause's own kind where it has one.
func interrupted(ctx context.Context, op string) error {
	cause := context.Cause(ctx)
	kind := pitr.KindOf(cause)
	switch {
	case kind != pitr.KindUnexpected:
	case errors.Is(cause, context.DeadlineExceeded):
		kind = pitr.KindUnavailable
	default:
		kind = pitr.KindInterrupted
	}
	return &pitr.Error{Kind: kind, Op: op, Hint: pitr.HintOf(cause), Err: cause}
}

func hintFor(kind pitr.Kind, code int32) string {
	switch {
	case code == codeAuthFailed:
		return "check user name, password and authSource of the configured uri"
	case kind == pitr.KindDenied:
		return "grant the right; reading needs the roles backup and clusterMonitor, writing restore, readWriteAnyDatabase and clusterMonitor"
	case code == codeOutOfDisk:
		return "make room on the server's disk, then run the same command again"
	case kind == pitr.KindUnavailable:
		return "check whether the hosts can be reached from here; where the members' names cannot be" +
			" resolved, add directConnection=true to the uri"
	case code == codeUserWritesBlocked:
		return "somebody blocks user writes: `pitr jobs` shows whether a job of ours does"
	}
	return ""
}

// serverError takes the server's answer out of a driver error; nil when the server did not answer.
func serverError(err error, s secrets) *ServerError {
	var command mongo.CommandError
	if errors.As(err, &command) && command.Code != 0 {
		return &ServerError{Code: command.Code, Name: command.Name, Message: s.mask(command.Message), Labels: command.Labels}
	}
	var write mongo.WriteException
	if errors.As(err, &write) {
		return writeError(write, s)
	}
	var low driver.Error
	if errors.As(err, &low) && low.Code != 0 {
		return &ServerError{Code: low.Code, Name: low.Name, Message: s.mask(low.Message), Labels: low.Labels}
	}
	return nil
}

// writeError gives the first write error of an ok reply, else its write concern error.
func writeError(write mongo.WriteException, s secrets) *ServerError {
	if len(write.WriteErrors) > 0 {
		first := write.WriteErrors[0]
		return &ServerError{Code: int32(first.Code), Message: s.mask(first.Message), Labels: write.Labels}
	}
	if concern := write.WriteConcernError; concern != nil {
		return &ServerError{Code: int32(concern.Code), Name: concern.Name, Message: s.mask(concern.Message), Labels: write.Labels}
	}
	return nil
}

func isLogin(err error) bool {
	var login *auth.Error
	return errors.As(err, &login)
}

// isTransport reports a failure between us and the server: no connection, no member, no answer in time.
func isTransport(err error) bool {
	var selection topology.ServerSelectionError
	var connection topology.ConnectionError
	return mongo.IsNetworkError(err) || mongo.IsTimeout(err) || errors.As(err, &selection) ||
		errors.As(err, &connection)
}

// isPassing reports whether another attempt may go better.
func isPassing(err error) bool {
	if failure := serverError(err, nil); failure != nil {
		return slices.Contains(passing, failure.Code)
	}
	return isTransport(err) && (!isLogin(err) || mongo.IsNetworkError(err))
}

// isUnknownToServer reports a command or field that this server does not have.
func isUnknownToServer(err error) bool {
	switch codeOf(err) {
	case codeUnknownField, codeNotImplemented, codeCommandNotFound, codeBadValue, codeNotSupported:
		return true
	}
	return false
}

// wrongReply makes the error of a reply that does not have the shape it should have.
func wrongReply(op string, reply bson.Raw, err error) error {
	return pitr.Errorf(pitr.KindUnexpected, op, "", "the server's reply of %d bytes is not understood: %w", len(reply), err)
}
