package cluster

import (
	"context"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Purpose is what a login is for; it decides which rights it needs.
type Purpose string

// The purposes of the two credentials.
const (
	// ForReading is snapshots, archive, diff: the roles backup and clusterMonitor.
	ForReading Purpose = "reading"
	// ForRestoring is restore, undo and reconcile: restore, readWriteAnyDatabase and clusterMonitor.
	ForRestoring Purpose = "restoring"
	// ForWriting is what a restore cannot do without: all but the write block, for which proven quiet can stand in.
	ForWriting Purpose = "writing"
)

// resource is what a right is about: the cluster, or a database and a collection, where empty means any.
type resource struct {
	cluster        bool
	db, collection string
}

// right is a set of actions on a resource, and the built-in role that a person would grant for it.
type right struct {
	resource resource
	actions  []string
	role     string
}

// The actions of the write block, which servers before 6.0 do not have.
const (
	actionBlock = "setUserWriteBlockMode"
	actionPass  = "bypassWriteBlockingMode"
)

// needs lists the rights of each purpose as they were measured on a real server.
var needs = map[Purpose][]right{
	ForReading: {
		{resource{cluster: true}, []string{"listDatabases", "useUUID", "appendOplogNote"}, "backup"},
		{resource{db: "", collection: ""}, []string{"find", "listCollections", "listIndexes", "collStats"}, "backup"},
		{resource{db: "local", collection: "oplog.rs"}, []string{"find"}, "backup"},
		{resource{db: "config", collection: "transactions"}, []string{"find"}, "backup"},
		{resource{cluster: true}, []string{"replSetGetConfig", "inprog"}, "clusterMonitor"},
	},
	ForRestoring: append(writing, right{resource{cluster: true}, []string{actionBlock, actionPass}, "restore"}),
	ForWriting:   writing,
}

var writing = []right{
	{resource{db: "", collection: ""}, []string{"find", "insert", "update", "remove", "createIndex", "dropIndex",
		"renameCollectionSameDB"}, "readWriteAnyDatabase"},
	{resource{db: "", collection: ""}, []string{"createCollection", "dropCollection", "collMod",
		"bypassDocumentValidation"}, "restore"},
	{resource{cluster: true}, []string{"inprog", "replSetGetConfig"}, "clusterMonitor"},
}

// grant is an element of authenticatedUserPrivileges.
type grant struct {
	Resource struct {
		Cluster     bool    `bson:"cluster"`
		AnyResource bool    `bson:"anyResource"`
		DB          *string `bson:"db"`
		Collection  *string `bson:"collection"`
	} `bson:"resource"`
	Actions []string `bson:"actions"`
}

// MissingRights names what a login lacks for a purpose, each with the role that has it: "find on local.oplog.rs (role
// backup)". It is empty where nothing is missing and where the server does not ask who we are.
func (c *Client) MissingRights(ctx context.Context, purpose Purpose) ([]string, error) {
	if !c.server.Authenticated {
		return nil, nil
	}
	grants, err := c.reads.grants(ctx)
	if err != nil {
		return nil, err
	}
	return missing(needs[purpose], grants, c.version), nil
}

// grants asks what our login may do.
func (l *link) grants(ctx context.Context) ([]grant, error) {
	const op = "ask for our rights"
	reply, err := l.read(ctx, order{op: op, db: "admin", command: bson.D{
		{Key: "connectionStatus", Value: 1}, {Key: "showPrivileges", Value: true}}})
	if err != nil {
		return nil, err
	}
	var status struct {
		AuthInfo struct {
			Privileges []grant `bson:"authenticatedUserPrivileges"`
		} `bson:"authInfo"`
	}
	if err := bson.Unmarshal(reply, &status); err != nil {
		return nil, wrongReply(op, reply, err)
	}
	return status.AuthInfo.Privileges, nil
}

func missing(needed []right, grants []grant, v version) []string {
	var lacking []string
	for _, need := range needed {
		for _, action := range need.actions {
			if (action == actionBlock || action == actionPass) && !v.atLeast(6, 0) {
				continue
			}
			if !may(grants, need.resource, action) {
				lacking = append(lacking, fmt.Sprintf("%s on %s (role %s)", action, need.resource, need.role))
			}
		}
	}
	return lacking
}

func may(grants []grant, r resource, action string) bool {
	return slices.ContainsFunc(grants, func(g grant) bool { return g.covers(r, action) })
}

// covers follows the server's matching: a grant without names is about every collection that is not a system one, outside
// of local and config.
func (g grant) covers(r resource, action string) bool {
	if !slices.Contains(g.Actions, action) {
		return false
	}
	granted := g.Resource
	switch {
	case granted.AnyResource:
		return true
	case r.cluster || granted.Cluster:
		return r.cluster && granted.Cluster
	case granted.DB == nil || granted.Collection == nil:
		return false
	}
	anyDB := *granted.DB == "" && r.db != "local" && r.db != "config"
	return (*granted.DB == r.db || anyDB) && (*granted.Collection == "" || *granted.Collection == r.collection)
}

// String names the resource for a person.
func (r resource) String() string {
	switch {
	case r.cluster:
		return "the cluster"
	case r.db == "" && r.collection == "":
		return "every database"
	case r.collection == "":
		return "database " + r.db
	}
	return r.db + "." + r.collection
}
