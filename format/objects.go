package format

import (
	"time"

	"pitr"
)

// Header is pitr.json, which makes a folder a repository.
type Header struct {
	// ID is the repository's own; clones of a bucket share it.
	ID ID `json:"id"`
	// ClusterName is the name that a person gave to the cluster.
	ClusterName string    `json:"clusterName"`
	Created     time.Time `json:"created"`
	Operator    string    `json:"operator,omitempty"`
	Pitr        string    `json:"pitr,omitempty"`
	// Store is what the probe of the store found when the repository was made.
	Store StoreProbe `json:"store"`
	// Encryption is reserved; "none" in this version.
	Encryption string `json:"encryption"`
	kept
}

// StoreProbe is what a store was seen to do.
type StoreProbe struct {
	Kind string `json:"kind"`
	// ConditionalCreate reports whether a create over an existing name was refused by the store.
	ConditionalCreate bool `json:"conditionalCreate"`
	// SingleWriter is the promise of a person, where the store does not refuse.
	SingleWriter bool `json:"singleWriter,omitempty"`
	ObjectLock   bool `json:"objectLock,omitempty"`
}

// Branch describes one unbroken history of a cluster.
type Branch struct {
	ID      ID        `json:"id"`
	Created time.Time `json:"created"`
	// Set and SetID are those of the replica set; Hosts its members when the branch began.
	Set   string   `json:"set"`
	SetID string   `json:"setId,omitempty"`
	Hosts []string `json:"hosts"`
	// Fork is where the branch leaves its parent, nil for the first branch.
	Fork   *Fork  `json:"fork,omitempty"`
	Reason string `json:"reason,omitempty"`
	kept
}

// Fork is the last entry that a branch shares with its parent.
type Fork struct {
	Branch ID          `json:"branch"`
	At     pitr.OpTime `json:"at"`
	// Digest is the sha256 of the raw entry, zero where it is not in the archive.
	Digest Digest `json:"digest,omitzero"`
}

// Reason says why a snapshot was taken.
type Reason string

// The reasons.
const (
	ReasonScheduled       Reason = "scheduled"
	ReasonBeforeRestore   Reason = "before-restore"
	ReasonBeforeMigration Reason = "before-migration"
	ReasonManual          Reason = "manual"
	ReasonSynthetic       Reason = "synthetic"
)

// Exactness says at which moments a snapshot is exact.
type Exactness string

// The three cases.
const (
	// ExactOneTime is a snapshot all of whose documents were read at one cluster time.
	ExactOneTime Exactness = "one time"
	// ExactThroughOplog is a snapshot that is exact at its end once its own window is folded in.
	ExactThroughOplog Exactness = "through the oplog"
	// ExactNo is a snapshot of a server without cluster times.
	ExactNo Exactness = "no"
)

// Manifest makes a snapshot exist.
type Manifest struct {
	ID       ID        `json:"id"`
	Branch   ID        `json:"branch,omitempty"`
	Created  time.Time `json:"created"`
	Finished time.Time `json:"finished"`
	Reason   Reason    `json:"reason"`
	Note     string    `json:"note,omitempty"`
	Operator string    `json:"operator,omitempty"`
	// Pitr is the version of the program.
	Pitr    string     `json:"pitr,omitempty"`
	Cluster Cluster    `json:"cluster"`
	Scope   pitr.Scope `json:"scope"`
	// From is S and At is E of the snapshot; both are zero where Exact is "no".
	From  pitr.Timestamp `json:"from"`
	At    pitr.Timestamp `json:"at"`
	Exact Exactness      `json:"exact"`
	// Oplog is the window that belongs to the snapshot, nil where there is no oplog.
	Oplog *Span `json:"oplog,omitempty"`
	// Objects counts what the snapshot consists of and leads to its catalog parts.
	Objects Objects `json:"objects"`
	kept
}

// Cluster is what a snapshot or a job knew of the cluster it read.
type Cluster struct {
	Name    string   `json:"name"`
	Set     string   `json:"set,omitempty"`
	SetID   string   `json:"setId,omitempty"`
	Member  string   `json:"member,omitempty"`
	Hosts   []string `json:"hosts,omitempty"`
	Version string   `json:"version,omitempty"`
	FCV     string   `json:"fcv,omitempty"`
}

// Span is a window of the archive with the digests of the raw entries at both ends: the one before the first and the
// last. They are zero where there is no such entry.
type Span struct {
	pitr.Window
	AfterDigest   Digest `json:"afterDigest,omitzero"`
	ThroughDigest Digest `json:"throughDigest,omitzero"`
}

// Objects are the totals of a snapshot.
type Objects struct {
	Collections int `json:"collections"`
	Chunks      int `json:"chunks"`
	Keys        int `json:"keys"`
	// Documents and Bytes count documents before compression, Stored the size of all objects but the manifest.
	Documents int64 `json:"documents"`
	Bytes     int64 `json:"bytes"`
	Stored    int64 `json:"stored"`
	// Catalog lists the catalog parts in the order of their numbers.
	Catalog []Part `json:"catalog"`
}

// Part is a container that a JSON object leads to.
type Part struct {
	Name      Name   `json:"name"`
	Size      int64  `json:"size"`
	SHA256    Digest `json:"sha256"`
	Directory Digest `json:"directory"`
	Documents int64  `json:"documents"`
	Bytes     int64  `json:"bytes"`
}

// PartOf describes a finished container.
func PartOf(s Sealed) Part {
	return Part{Name: s.Name, Size: s.Size(), SHA256: s.Digest, Directory: s.Directory, Documents: s.Documents, Bytes: s.Raw}
}

// Expect gives what a reader of the part has to expect.
func (p Part) Expect() Expect {
	return Expect{Name: p.Name, Size: p.Size, Digest: p.SHA256, Directory: p.Directory}
}

// Hole notes that a window of a branch is not in the archive, and why.
type Hole struct {
	Branch ID `json:"branch"`
	pitr.Window
	Created time.Time `json:"created"`
	Reason  string    `json:"reason"`
	Member  string    `json:"member,omitempty"`
	kept
}

// Mark is a named moment.
type Mark struct {
	ID       ID             `json:"id"`
	At       pitr.Timestamp `json:"at"`
	Branch   ID             `json:"branch,omitempty"`
	Name     string         `json:"name"`
	Created  time.Time      `json:"created"`
	Operator string         `json:"operator,omitempty"`
	Note     string         `json:"note,omitempty"`
	// Fingerprint is the digest of all indexes, options and validators at the moment, zero where nobody looked.
	Fingerprint Digest `json:"fingerprint,omitzero"`
	// Expires is when the mark stops holding the archive; zero for a mark that is kept.
	Expires time.Time `json:"expires,omitzero"`
	kept
}

// Hold keeps prune away from something; it names one of snapshot, window and objects, or more.
type Hold struct {
	ID       ID        `json:"id"`
	Created  time.Time `json:"created"`
	Operator string    `json:"operator,omitempty"`
	Reason   string    `json:"reason"`
	// Expires is zero for a hold that a person has to lift.
	Expires  time.Time `json:"expires,omitzero"`
	Snapshot ID        `json:"snapshot,omitempty"`
	Job      ID        `json:"job,omitempty"`
	Branch   ID        `json:"branch,omitempty"`
	// Window holds every segment of the branch that covers a part of it.
	Window *pitr.Window `json:"window,omitempty"`
	kept
}

// Condemned lists what prune will remove after a second look. A list that does not fit one object is cut into several.
type Condemned struct {
	ID       ID        `json:"id"`
	Created  time.Time `json:"created"`
	Operator string    `json:"operator,omitempty"`
	Reason   string    `json:"reason,omitempty"`
	// Snapshots are removed whole, their manifests first.
	Snapshots []ID `json:"snapshots,omitempty"`
	// Objects are removed one by one, in this order, after the snapshots.
	Objects []Name `json:"objects,omitempty"`
	kept
}

// Lease is one generation of the right to do something that only one run may do.
type Lease struct {
	Lease      string    `json:"lease"`
	Generation uint64    `json:"generation"`
	Holder     string    `json:"holder"`
	Host       string    `json:"host"`
	Process    int       `json:"process"`
	Boot       string    `json:"boot,omitempty"`
	Taken      time.Time `json:"taken"`
	// Released is the last word of a holder that is done: the next one need not wait. Who breaks a lease does not say so.
	Released bool   `json:"released,omitempty"`
	Note     string `json:"note,omitempty"`
	kept
}

// ObjectName gives pitr.json.
func (h *Header) ObjectName() (Name, error) { return HeaderName(), nil }

// ObjectName follows from the branch's id.
func (b *Branch) ObjectName() (Name, error) { return BranchName(b.ID) }

// ObjectName follows from the snapshot's id.
func (m *Manifest) ObjectName() (Name, error) { return ManifestName(m.ID) }

// ObjectName follows from branch and window.
func (h *Hole) ObjectName() (Name, error) { return HoleName(h.Branch, h.Window) }

// ObjectName follows from the mark's moment and id.
func (m *Mark) ObjectName() (Name, error) { return MarkName(m.At, m.ID) }

// ObjectName follows from the hold's id.
func (h *Hold) ObjectName() (Name, error) { return HoldName(h.ID) }

// ObjectName follows from the list's id.
func (c *Condemned) ObjectName() (Name, error) { return CondemnedName(c.ID) }

// ObjectName follows from the lease's name and generation.
func (l *Lease) ObjectName() (Name, error) { return LeaseName(l.Lease, l.Generation) }
