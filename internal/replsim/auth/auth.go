// Package auth is who may do what on the simulated server: users and their passwords (SCRAM), the built-in roles, and the
// check of a right.
//
// It decides; the server asks it before it runs a command.
package auth

import "slices"

// Resource is what a privilege covers, in the server's four forms: a collection (an empty part stands for all that are no
// system collections), the cluster, the buckets of time series, or anything.
type Resource struct {
	DB, Collection string
	Cluster        bool
	Buckets        bool
	Any            bool
}

// Cluster is the resource of commands that concern the whole server.
var Cluster = Resource{Cluster: true}

// Namespace is the resource of one collection.
func Namespace(db, collection string) Resource { return Resource{DB: db, Collection: collection} }

// Privilege lets its holder do some actions on a resource.
type Privilege struct {
	Resource Resource
	Actions  []string
}

// Need is a right that a command takes.
type Need struct {
	Resource Resource
	Action   string
}

// RoleName names a role of a database.
type RoleName struct{ Role, DB string }

// Login is who a connection authenticated as, with the privileges that the roles had then.
type Login struct {
	User, DB   string
	Roles      []RoleName
	Privileges []Privilege
	// Version is the state of users and roles that the privileges were taken from.
	Version int64
}

// May reports whether the login has a right.
func (l *Login) May(need Need) bool {
	if l == nil {
		return false
	}
	for _, p := range l.Privileges {
		if p.Resource.covers(need.Resource) && (slices.Contains(p.Actions, need.Action) || slices.Contains(p.Actions, "anyAction")) {
			return true
		}
	}
	return false
}

// Name is "user@db", empty for nobody.
func (l *Login) Name() string {
	if l == nil {
		return ""
	}
	return l.User + "@" + l.DB
}
