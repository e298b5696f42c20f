package value

import (
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Error is a failure as a client of the server sees it.
type Error struct {
	Code    int32
	Message string
	// Info is the errInfo document of a write error, or nil.
	Info bson.Raw
}

// Error gives the message.
func (e *Error) Error() string { return e.Message }

// Name gives the code's name as replies carry it in codeName.
func (e *Error) Name() string { return CodeName(e.Code) }

// Errorf makes an Error with a code.
func Errorf(code int32, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Code gives the code of the first Error in the chain, 0 for nil, and InternalError for any other error.
func Code(err error) int32 {
	if err == nil {
		return 0
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return InternalError
}

// Codes that this library raises.
const (
	InternalError              int32 = 1
	BadValue                   int32 = 2
	NoSuchKey                  int32 = 4
	FailedToParse              int32 = 9
	TypeMismatch               int32 = 14
	Overflow                   int32 = 15
	IllegalOperation           int32 = 20
	InvalidBSON                int32 = 22
	PathNotViable              int32 = 28
	ConflictingUpdateOperators int32 = 40
	DollarPrefixedFieldName    int32 = 52
	InvalidIDField             int32 = 53
	NotSingleValueField        int32 = 54
	EmptyFieldName             int32 = 56
	DottedFieldName            int32 = 57
	ImmutableField             int32 = 66
	CannotCreateIndex          int32 = 67
	InvalidOptions             int32 = 72
	DocumentValidationFailure  int32 = 121
	InvalidPipelineOperator    int32 = 168
	CannotIndexParallelArrays  int32 = 171
	QueryFeatureNotAllowed     int32 = 224
	NotImplemented             int32 = 238
	ConversionFailure          int32 = 241
	BSONObjectTooLarge         int32 = 10334
	DuplicateKey               int32 = 11000
)

// The names are those of the 7.1 line: 64 is called otherwise from 8.0 on, and 40413 to 40415 have no name yet.
var codeNames = map[int32]string{
	0: "OK", InternalError: "InternalError", BadValue: "BadValue", NoSuchKey: "NoSuchKey", 5: "GraphContainsCycle",
	6: "HostUnreachable", 7: "HostNotFound", 8: "UnknownError", FailedToParse: "FailedToParse", 10: "CannotMutateObject",
	11: "UserNotFound", 12: "UnsupportedFormat", 13: "Unauthorized", TypeMismatch: "TypeMismatch", Overflow: "Overflow",
	16: "InvalidLength", 17: "ProtocolError", 18: "AuthenticationFailed", 19: "CannotReuseObject",
	IllegalOperation: "IllegalOperation", 21: "EmptyArrayOperation", InvalidBSON: "InvalidBSON", 23: "AlreadyInitialized",
	24: "LockTimeout", 25: "RemoteValidationError", 26: "NamespaceNotFound", 27: "IndexNotFound", PathNotViable: "PathNotViable",
	29: "NonExistentPath", 30: "InvalidPath", 31: "RoleNotFound", 32: "RolesNotRelated", 33: "PrivilegeNotFound",
	34: "CannotBackfillArray", 35: "UserModificationFailed", 36: "RemoteChangeDetected",
	ConflictingUpdateOperators: "ConflictingUpdateOperators", 43: "CursorNotFound", 45: "UserDataInconsistent", 46: "LockBusy",
	47: "NoMatchingDocument", 48: "NamespaceExists", 49: "InvalidRoleModification", 50: "MaxTimeMSExpired",
	51: "ManualInterventionRequired", DollarPrefixedFieldName: "DollarPrefixedFieldName", InvalidIDField: "InvalidIdField",
	NotSingleValueField: "NotSingleValueField", 55: "InvalidDBRef", EmptyFieldName: "EmptyFieldName",
	DottedFieldName: "DottedFieldName", 58: "RoleModificationFailed", 59: "CommandNotFound", 61: "ShardKeyNotFound",
	62: "OplogOperationUnsupported", 64: "WriteConcernFailed", 65: "MultipleErrorsOccurred", ImmutableField: "ImmutableField",
	CannotCreateIndex: "CannotCreateIndex", 68: "IndexAlreadyExists", 69: "AuthSchemaIncompatible", 70: "ShardNotFound",
	71: "ReplicaSetNotFound", InvalidOptions: "InvalidOptions", 73: "InvalidNamespace", 74: "NodeNotFound",
	75: "WriteConcernLegacyOK", 76: "NoReplicationEnabled", 77: "OperationIncomplete", 79: "UnknownReplWriteConcern",
	82: "NoProgressMade", 85: "IndexOptionsConflict", 86: "IndexKeySpecsConflict", 89: "NetworkTimeout", 90: "CallbackCanceled",
	91: "ShutdownInProgress", 92: "SecondaryAheadOfPrimary", 93: "InvalidReplicaSetConfig", 94: "NotYetInitialized",
	95: "NotSecondary", 96: "OperationFailed", 97: "NoProjectionFound", 100: "UnsatisfiableWriteConcern", 104: "NodeNotElectable",
	111: "NotExactValueField", 112: "WriteConflict", 113: "InitialSyncFailure", 115: "CommandNotSupported",
	116: "DocTooLargeForCapped", 117: "ConflictingOperationInProgress", 118: "NamespaceNotSharded", 120: "OplogStartMissing",
	DocumentValidationFailure: "DocumentValidationFailure", 123: "NotAReplicaSet", 125: "CommandFailed",
	126: "RPCProtocolNegotiationFailed", 127: "UnrecoverableRollbackError", 128: "LockNotFound",
	133: "FailedToSatisfyReadPreference", 134: "ReadConcernMajorityNotAvailableYet", 135: "StaleTerm", 136: "CappedPositionLost",
	143: "CursorInUse", 146: "ExceededMemoryLimit", 161: "IncompatibleCollationVersion", 162: "CollectionIsEmpty",
	165: "ViewDepthLimitExceeded", 166: "CommandNotSupportedOnView", 167: "OptionNotSupportedOnView",
	InvalidPipelineOperator: "InvalidPipelineOperator", CannotIndexParallelArrays: "CannotIndexParallelArrays",
	175: "QueryPlanKilled", 181: "AmbiguousIndexKeyPattern", 182: "InvalidViewDefinition", 187: "LinearizableReadConcernError",
	189: "PrimarySteppedDown", 195: "ViewPipelineMaxSizeExceeded", 197: "InvalidIndexSpecificationOption",
	201: "CannotBuildIndexKeys", 202: "NetworkInterfaceExceededTimeLimit", 206: "NoSuchSession", 207: "InvalidUUID",
	211: "KeyNotFound", 213: "DuplicateSession", 215: "DatabaseDropPending", 216: "ElectionInProgress",
	217: "IncompleteTransactionHistory", 221: "IndexModified", QueryFeatureNotAllowed: "QueryFeatureNotAllowed",
	225: "TransactionTooOld", 226: "AtomicityFailure", 232: "MaxSubPipelineDepthExceeded", 233: "TooManyDocumentSequences",
	237: "CursorKilled", NotImplemented: "NotImplemented", 239: "SnapshotTooOld", ConversionFailure: "ConversionFailure",
	242: "CannotCreateCollection", 246: "SnapshotUnavailable", 251: "NoSuchTransaction", 256: "TransactionCommitted",
	257: "TransactionTooLarge", 260: "InvalidResumeToken", 262: "ExceededTimeLimit", 263: "OperationNotSupportedInTransaction",
	267: "PreparedTransactionInProgress", 276: "IndexBuildAborted", 278: "UnsatisfiableCommitQuorum", 279: "ClientDisconnect",
	280: "ChangeStreamFatalError", 285: "IndexBuildAlreadyInProgress", 286: "ChangeStreamHistoryLost", 288: "ChecksumMismatch",
	290: "TransactionExceededLifetimeLimitSeconds", 291: "NoQueryExecutionPlans", 292: "QueryExceededMemoryLimitNoDiskUseAllowed",
	314: "ObjectIsBusy", 322: "APIVersionError", 323: "APIStrictError", 324: "APIDeprecationError", 332: "CannotDowngrade",
	349: "KeyPatternShorterThanBound", 352: "UnsupportedOpQueryCommand", 357: "InvalidBSONType",
	359: "CannotConvertIndexToUnique", 361: "CollectionUUIDMismatch", 365: "TemporarilyUnavailable", 371: "UserWritesBlocked",
	376: "ChangeStreamNotEnabled", 378: "NonConformantBSON", 388: "TransactionTooLargeForCache",
	10107: "NotWritablePrimary", BSONObjectTooLarge: "BSONObjectTooLarge", DuplicateKey: "DuplicateKey",
	11600: "InterruptedAtShutdown", 11601: "Interrupted", 11602: "InterruptedDueToReplStateChange",
	12586: "BackgroundOperationInProgressForDatabase", 12587: "BackgroundOperationInProgressForNamespace",
	13113: "MergeStageNoMatchingDocument", 13297: "DatabaseDifferCase", 13388: "StaleConfig", 13435: "NotPrimaryNoSecondaryOk",
	13436: "NotPrimaryOrSecondary", 14031: "OutOfDiskSpace", 50768: "NotARetryableWriteCommand",
}

// CodeName gives the name of a code, "Location<code>" where the server has none.
func CodeName(code int32) string {
	if n, ok := codeNames[code]; ok {
		return n
	}
	return fmt.Sprintf("Location%d", code)
}
