package pitr

import "time"

// Ability is how much of pitr a server can serve.
type Ability string

// The two abilities.
const (
	// AbilityFull is a replica set with an oplog and transactions.
	AbilityFull Ability = "full"
	// AbilityDocuments is anything without a usable oplog: snapshot, diff and copy work, moments do not exist.
	AbilityDocuments Ability = "documents only"
)

// Server is what a connection learnt about the cluster at its other end.
type Server struct {
	Ability Ability `json:"ability"`
	// Set and SetID name the replica set; the id (an ObjectId in hex) is empty where no right allows reading it.
	Set   string `json:"set,omitempty"`
	SetID string `json:"setId,omitempty"`
	// Member is the host:port that reads go to, Hosts all members.
	Member  string   `json:"member"`
	Hosts   []string `json:"hosts,omitempty"`
	Version string   `json:"version"`
	// FCV is the feature compatibility version, empty where it cannot be read.
	FCV string `json:"fcv,omitempty"`
	// Authenticated reports whether the server knows who we are; without it nobody can pass a write block.
	Authenticated bool `json:"authenticated"`
	// Clock is the server's wall clock when it was asked.
	Clock time.Time `json:"clock"`
}

// Writer is somebody who is writing, or connected and able to, as the server tells it.
type Writer struct {
	User, App, Host string
	// NS is where the newest write went, when the server tells.
	NS string
}
