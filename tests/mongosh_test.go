package tests

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pitr/internal/mongotest"
)

// shellScript is what a person does in a shell. Each line of output is checked; check throws when the answer is another
// one than a server gives.
const shellScript = `
function check(what, got, want) {
  const a = EJSON.stringify(got), b = EJSON.stringify(want);
  if (a !== b) throw new Error(what + ": " + a + ", not " + b);
  print("ok " + what);
}
function refused(what, code, call) {
  try { call(); } catch (e) { check(what, e.code, code); return; }
  throw new Error(what + ": was not refused");
}
const shop = db.getSiblingDB("shop");
check("insertOne", shop.orders.insertOne({_id: 1, state: "new", lines: [{sku: "a", n: 2}]}).acknowledged, true);
check("insertMany", shop.orders.insertMany([{_id: 2, state: "new"}, {_id: 3, state: "sent"}]).insertedIds, {"0": 2, "1": 3});
check("find", shop.orders.find({state: "new"}, {lines: 0}).sort({_id: -1}).toArray(), [{_id: 2, state: "new"}, {_id: 1, state: "new"}]);
check("updateMany", shop.orders.updateMany({state: "new"}, {$set: {state: "packed"}, $inc: {rev: 1}}).modifiedCount, 2);
check("updateOne in an array", shop.orders.updateOne({_id: 1}, {$set: {"lines.$[l].n": 3}}, {arrayFilters: [{"l.sku": "a"}]}).modifiedCount, 1);
check("what the updates left", shop.orders.findOne({_id: 1}), {_id: 1, state: "packed", lines: [{sku: "a", n: 3}], rev: 1});
check("replaceOne with upsert", shop.orders.replaceOne({_id: 9}, {state: "late"}, {upsert: true}).insertedId, 9);
check("findOneAndUpdate", shop.orders.findOneAndUpdate({_id: 9}, {$set: {state: "gone"}}, {returnDocument: "after"}), {_id: 9, state: "gone"});
check("deleteOne", shop.orders.deleteOne({_id: 9}).deletedCount, 1);
check("bulkWrite", shop.orders.bulkWrite([{insertOne: {document: {_id: 10}}}, {deleteOne: {filter: {_id: 10}}}]).insertedCount, 1);
check("countDocuments", shop.orders.countDocuments({}), 3);
check("aggregate", shop.orders.aggregate([{$match: {}}, {$group: {_id: "$state", n: {$sum: 1}}}, {$sort: {_id: 1}}]).toArray(),
  [{_id: "packed", n: 2}, {_id: "sent", n: 1}]);
check("createIndex", shop.orders.createIndex({state: 1, rev: -1}), "state_1_rev_-1");
refused("a unique index over duplicates", 11000, () => shop.orders.createIndex({state: 1}, {unique: true}));
check("getIndexes", shop.orders.getIndexes().map(i => i.name), ["_id_", "state_1_rev_-1"]);
refused("a second _id", 11000, () => shop.orders.insertOne({_id: 1}));
const session = db.getMongo().startSession(), inside = session.getDatabase("shop");
session.startTransaction();
inside.orders.insertOne({_id: 20}); inside.orders.deleteOne({_id: 3});
check("outside a transaction", shop.orders.find({_id: {$in: [3, 20]}}, {_id: 1}).toArray(), [{_id: 3}]);
session.commitTransaction();
check("after its commit", shop.orders.find({_id: {$in: [3, 20]}}, {_id: 1}).toArray(), [{_id: 20}]);
session.startTransaction();
inside.orders.insertOne({_id: 21});
session.abortTransaction(); session.endSession();
check("after an abort", shop.orders.countDocuments({_id: 21}), 0);
check("getCollectionNames", shop.getCollectionNames(), ["orders"]);
check("rename", shop.orders.renameCollection("done").ok, 1);
const oplog = db.getSiblingDB("local").oplog.rs.find({ns: /^shop/}).sort({$natural: -1}).limit(1).toArray();
check("the oplog says so", oplog[0].o.to, "shop.done");
check("rs.status", rs.status().members.map(m => m.stateStr), ["PRIMARY"]);
check("who am I", db.adminCommand({connectionStatus: 1}).authInfo.authenticatedUsers, [{user: "clerk", db: "admin"}]);
refused("a right that clerk has not", 13, () => db.getSiblingDB("other").secrets.insertOne({_id: 1}));
check("dropDatabase", shop.dropDatabase().ok, 1);
print("END");
`

// runShell runs a script in MongoDB's own shell.
func runShell(t *testing.T, uri, script string) (string, error) {
	t.Helper()
	cache := os.Getenv("PITR_TEST_CACHE")
	if cache == "" {
		cache = filepath.Join("..", ".cache")
	}
	shell, err := filepath.Abs(filepath.Join(cache, "mongosh-2.12.0", "node_modules", ".bin", "mongosh"))
	must(t, err)
	if _, err := os.Stat(shell); err != nil {
		if shell, err = exec.LookPath("mongosh"); err != nil {
			t.Skip("no mongosh: run `make deps`")
		}
	}
	home := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(home, ".mongodb", "mongosh"), 0o700))
	must(t, os.WriteFile(filepath.Join(home, ".mongodb", "mongosh", "config"), []byte(`{"enableTelemetry": false, "updateURL": ""}`), 0o600))
	file := filepath.Join(home, "script.js")
	must(t, os.WriteFile(file, []byte(script), 0o600))
	command := exec.Command(shell, uri, "--quiet", "--norc", "--file", file)
	command.Env = append(os.Environ(), "HOME="+home, "NO_COLOR=1")
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	err = command.Run()
	return output.String(), err
}

// TestShellTalksToTheSimulatedSet runs a person's session of MongoDB's own shell, login included, against replsim.
func TestShellTalksToTheSimulatedSet(t *testing.T) {
	set := mongotest.Start(t, mongotest.Need{Faults: true, Users: []mongotest.User{
		{Name: "clerk", Password: "pa:ss@wörd", Roles: []string{"dbOwner@shop", "clusterMonitor", "read@local"}}}})
	output, err := runShell(t, set.As(t, "clerk"), shellScript)
	if err != nil || !strings.Contains(output, "END") {
		t.Errorf("the shell ended with %v:\n%s", err, output)
	}
	wrong := strings.Replace(set.As(t, "clerk"), "pa%3Ass", "CANARY", 1)
	output, err = runShell(t, wrong, shellScript)
	if err == nil || !strings.Contains(output, "Authentication failed") {
		t.Errorf("a wrong password: %v\n%s", err, output)
	}
}
