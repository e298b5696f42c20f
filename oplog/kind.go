package oplog

// Kind is what an entry, or an operation inside one, is: the letter of its op, or the command's name.
type Kind uint8

// The kinds. The table of rules says what becomes of each.
const (
	KindUnknown Kind = iota

	KindInsert
	KindUpdate
	KindDelete
	KindNoop
	KindContainerInsert
	KindContainerUpdate
	KindContainerDelete
	KindBookkeeping
	KindGlobalIndexInsert
	KindGlobalIndexDelete
	KindDatabaseMark

	KindApplyOps
	KindCommitTransaction
	KindAbortTransaction

	KindCreate
	KindDrop
	KindDropDatabase
	KindRenameCollection
	KindCreateIndexes
	KindStartIndexBuild
	KindCommitIndexBuild
	KindAbortIndexBuild
	KindDropIndexes
	KindDeleteIndex
	KindDeleteIndexes
	KindDropIndex
	KindCollMod

	KindDBCheck
	KindSetMultikeyMetadata
	KindDropIdent
	KindShardingIndexCatalog
	KindCreateDatabaseMetadata
	KindDropDatabaseMetadata

	KindConvertToCapped
	KindEmptyCapped
	KindImportCollection
	KindTruncateRange
	KindCreateGlobalIndex
	KindDropGlobalIndex
	KindViewlessTimeseries

	kindCount
)

// Verdict is what becomes of a kind of entry when history is folded.
type Verdict string

// The verdicts.
const (
	// Applied changes documents or the catalog.
	Applied Verdict = "applied"
	// Skipped has no effect on documents or the catalog; its time still counts as progress.
	Skipped Verdict = "skipped"
	// Refused cannot be folded: a window that holds it is archived, and not restorable across it.
	Refused Verdict = "refused"
)

// Rule says what becomes of one kind of entry, and why.
type Rule struct {
	Kind Kind
	// Word is the op's letter or the command's name, as it stands in the entry.
	Word    string
	Command bool
	Verdict Verdict
	Reason  string
}

// rules is the closed list, by kind. Sources: sections 1.2 and 5.1 of the oplog facts.
var rules = [kindCount]Rule{
	KindUnknown: {Word: "unknown", Verdict: Refused, Reason: "a word that pitr does not know is never skipped in silence"},

	KindInsert: {Word: "i", Verdict: Applied, Reason: "the document becomes o"},
	KindUpdate: {Word: "u", Verdict: Applied, Reason: "the document becomes what o makes of it"},
	KindDelete: {Word: "d", Verdict: Applied, Reason: "the document is gone"},
	KindNoop:   {Word: "n", Verdict: Skipped, Reason: "election marks, periodic notes and old images change no document"},
	KindContainerInsert: {Word: "ci", Verdict: Skipped,
		Reason: "storage containers hold what the engine derives from documents"},
	KindContainerUpdate: {Word: "cu", Verdict: Skipped,
		Reason: "storage containers hold what the engine derives from documents"},
	KindContainerDelete: {Word: "cd", Verdict: Skipped,
		Reason: "storage containers hold what the engine derives from documents"},
	KindBookkeeping:       {Word: "km", Verdict: Skipped, Reason: "internal bookkeeping, skipped by the server's own tools"},
	KindGlobalIndexInsert: {Word: "xi", Verdict: Refused, Reason: "global indexes are experimental"},
	KindGlobalIndexDelete: {Word: "xd", Verdict: Refused, Reason: "global indexes are experimental"},
	KindDatabaseMark:      {Word: "db", Verdict: Refused, Reason: "no supported server writes it"},

	KindApplyOps: {Word: "applyOps", Command: true, Verdict: Applied,
		Reason: "its operations count, together, when their transaction or batch commits"},
	KindCommitTransaction: {Word: "commitTransaction", Command: true, Verdict: Applied,
		Reason: "the prepared transaction counts from its commit timestamp on"},
	KindAbortTransaction: {Word: "abortTransaction", Command: true, Verdict: Applied,
		Reason: "the transaction's operations never count"},

	KindCreate: {Word: "create", Command: true, Verdict: Applied, Reason: "a collection with this UUID exists from here on"},
	KindDrop:   {Word: "drop", Command: true, Verdict: Applied, Reason: "the collection with this UUID is gone"},
	KindDropDatabase: {Word: "dropDatabase", Command: true, Verdict: Applied,
		Reason: "an end mark: each collection has had its own drop"},
	KindRenameCollection: {Word: "renameCollection", Command: true, Verdict: Applied,
		Reason: "the UUID has another name; a dropped target is gone"},
	KindCreateIndexes:   {Word: "createIndexes", Command: true, Verdict: Applied, Reason: "the index exists from here on"},
	KindStartIndexBuild: {Word: "startIndexBuild", Command: true, Verdict: Applied, Reason: "the index is being built: it does not exist yet"},
	KindCommitIndexBuild: {Word: "commitIndexBuild", Command: true, Verdict: Applied,
		Reason: "the indexes of the build exist from here on"},
	KindAbortIndexBuild: {Word: "abortIndexBuild", Command: true, Verdict: Applied, Reason: "the indexes of the build will not exist"},
	KindDropIndexes:     {Word: "dropIndexes", Command: true, Verdict: Applied, Reason: "the index is gone"},
	KindDeleteIndex:     {Word: "deleteIndex", Command: true, Verdict: Applied, Reason: "an old name of dropIndexes"},
	KindDeleteIndexes:   {Word: "deleteIndexes", Command: true, Verdict: Applied, Reason: "an old name of dropIndexes"},
	KindDropIndex:       {Word: "dropIndex", Command: true, Verdict: Applied, Reason: "an old name of dropIndexes"},
	KindCollMod:         {Word: "collMod", Command: true, Verdict: Applied, Reason: "options of the collection or of an index changed"},

	KindDBCheck: {Word: "dbCheck", Command: true, Verdict: Skipped, Reason: "a consistency check reads only"},
	KindSetMultikeyMetadata: {Word: "setMultikeyMetadata", Command: true, Verdict: Skipped,
		Reason: "storage metadata that the engine derives from documents"},
	KindDropIdent: {Word: "dropIdent", Command: true, Verdict: Skipped, Reason: "storage metadata, after the drop that has its own entry"},
	KindShardingIndexCatalog: {Word: "modifyCollectionShardingIndexCatalog", Command: true, Verdict: Skipped,
		Reason: "sharding metadata has no effect on the data of a replica set"},
	KindCreateDatabaseMetadata: {Word: "createDatabaseMetadata", Command: true, Verdict: Skipped,
		Reason: "sharding metadata has no effect on the data of a replica set"},
	KindDropDatabaseMetadata: {Word: "dropDatabaseMetadata", Command: true, Verdict: Skipped,
		Reason: "sharding metadata has no effect on the data of a replica set"},

	KindConvertToCapped: {Word: "convertToCapped", Command: true, Verdict: Refused,
		Reason: "it does not say which documents it removed; supported servers log the copy instead"},
	KindEmptyCapped: {Word: "emptycapped", Command: true, Verdict: Refused, Reason: "a test command that removes documents without naming them"},
	KindImportCollection: {Word: "importCollection", Command: true, Verdict: Refused,
		Reason: "its data files are not in the oplog"},
	KindTruncateRange: {Word: "truncateRange", Command: true, Verdict: Refused,
		Reason: "it removes records by their place, which documents do not tell"},
	KindCreateGlobalIndex: {Word: "createGlobalIndex", Command: true, Verdict: Refused, Reason: "global indexes are experimental"},
	KindDropGlobalIndex:   {Word: "dropGlobalIndex", Command: true, Verdict: Refused, Reason: "global indexes are experimental"},
	KindViewlessTimeseries: {Word: "upgradeDowngradeViewlessTimeseries", Command: true, Verdict: Refused,
		Reason: "it changes the form of time-series collections without their entries"},
}

// Rules gives the closed list of kinds with what becomes of each and why.
func Rules() []Rule {
	list := make([]Rule, 0, len(rules))
	for kind := range rules {
		rule := rules[kind]
		rule.Kind = Kind(kind)
		list = append(list, rule)
	}
	return list
}

// String gives the word of the kind as it stands in an entry.
func (k Kind) String() string { return rules[k].Word }

// Verdict says what becomes of the kind when history is folded, and why.
func (k Kind) Verdict() (Verdict, string) { return rules[k].Verdict, rules[k].Reason }

// commandKinds finds a command's kind by its name.
var commandKinds = func() map[string]Kind {
	kinds := map[string]Kind{}
	for kind, rule := range rules {
		if rule.Command {
			kinds[rule.Word] = Kind(kind)
		}
	}
	return kinds
}()

// kindOfOp finds the kind of an op that is no command; commands are left unknown.
func kindOfOp(op string) Kind {
	switch op {
	case "i":
		return KindInsert
	case "u":
		return KindUpdate
	case "d":
		return KindDelete
	case "n":
		return KindNoop
	}
	for kind, rule := range rules {
		if !rule.Command && rule.Word == op {
			return Kind(kind)
		}
	}
	return KindUnknown
}
