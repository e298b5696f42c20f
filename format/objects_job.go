package format

import (
	"time"

	"pitr"
)

// JobKind says what a job does.
type JobKind string

// The jobs.
const (
	JobRewind    JobKind = "rewind"
	JobRebuild   JobKind = "rebuild"
	JobCopy      JobKind = "copy"
	JobUndo      JobKind = "undo"
	JobReconcile JobKind = "reconcile"
	// JobCompare is a diff that was made a job, for restores done with another tool.
	JobCompare JobKind = "compare"
)

// Intent is what a job will do, as it was shown and confirmed.
type Intent struct {
	ID       ID        `json:"id"`
	Kind     JobKind   `json:"kind"`
	Created  time.Time `json:"created"`
	Expires  time.Time `json:"expires,omitzero"`
	Operator string    `json:"operator,omitempty"`
	Pitr     string    `json:"pitr,omitempty"`
	Cluster  Cluster   `json:"cluster"`
	Branch   ID        `json:"branch,omitempty"`
	// To is T; Asked is what the person typed for it.
	To    pitr.Timestamp `json:"to"`
	Asked string         `json:"asked,omitempty"`
	// Through is how far the archive reached when the intent was made.
	Through pitr.Timestamp `json:"through"`
	Scope   pitr.Scope     `json:"scope"`
	// Base is the snapshot that the view at T begins with; Job is the job that this one undoes or reconciles.
	Base ID `json:"base,omitempty"`
	Job  ID `json:"job,omitempty"`
	// Ways says what is done to the namespaces that change, the largest first, and only as many as a person reads;
	// Namespaces counts all of them.
	Ways       []Way `json:"ways,omitempty"`
	Namespaces int   `json:"namespaces"`
	// Touched counts the documents of the gap by class, Steps the catalog steps.
	Touched map[pitr.Class]int64 `json:"touched,omitempty"`
	Steps   int                  `json:"steps"`
	// Estimate is the expected time between freeze and unfreeze, in seconds.
	Estimate float64 `json:"estimateSeconds,omitempty"`
	// Detail is what else the job needs to be run as it was confirmed.
	Detail Document `json:"detail,omitempty"`
	kept
}

// Way is what an intent says about one namespace.
type Way struct {
	NS      pitr.Namespace `json:"ns"`
	Way     JobKind        `json:"way"`
	Reason  string         `json:"reason"`
	Touched int64          `json:"touched"`
}

// StepRecord says that a step of a job begins or is done; it is published before what it announces.
type StepRecord struct {
	Job     ID  `json:"job"`
	Attempt int `json:"attempt"`
	Number  int `json:"number"`
	// Step is the step's name, in the words of the package that runs it.
	Step  string    `json:"step"`
	Taken time.Time `json:"taken"`
	Host  string    `json:"host,omitempty"`
	// At is the cluster time that the step is about, such as F for the freeze.
	At     pitr.OpTime `json:"at,omitzero"`
	Note   string      `json:"note,omitempty"`
	Detail Document    `json:"detail,omitempty"`
	kept
}

// Changes makes the change set of a job exist.
type Changes struct {
	Job     ID        `json:"job"`
	Created time.Time `json:"created"`
	// Gap is the window (T, E].
	Gap   pitr.Window `json:"gap"`
	Scope pitr.Scope  `json:"scope"`
	// Steps counts the catalog steps, which come first; Documents the changes by class.
	Steps     int                  `json:"steps"`
	Documents map[pitr.Class]int64 `json:"documents"`
	// Parts lists the containers in the order of their numbers.
	Parts []Part `json:"parts"`
	kept
}

// Result is the end of a job.
type Result struct {
	Job      ID        `json:"job"`
	Attempt  int       `json:"attempt"`
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"`
	// Outcome is "done" or the kind of the failure; Message says it in words.
	Outcome string `json:"outcome"`
	Message string `json:"message,omitempty"`
	// Verified reports whether the check after the run passed.
	Verified bool `json:"verified"`
	// First and Last are the job's own first and last entry in the oplog.
	First pitr.OpTime `json:"first,omitzero"`
	Last  pitr.OpTime `json:"last,omitzero"`
	// Written, Skipped and Failed count documents.
	Written int64    `json:"written"`
	Skipped int64    `json:"skipped,omitempty"`
	Failed  int64    `json:"failed,omitempty"`
	Detail  Document `json:"detail,omitempty"`
	kept
}

// ObjectName follows from the job's id.
func (i *Intent) ObjectName() (Name, error) { return IntentName(i.ID) }

// ObjectName follows from job, attempt and number.
func (s *StepRecord) ObjectName() (Name, error) { return StepName(s.Job, s.Attempt, s.Number) }

// ObjectName follows from the job's id.
func (c *Changes) ObjectName() (Name, error) { return ChangesName(c.Job) }

// ObjectName follows from the job's id.
func (r *Result) ObjectName() (Name, error) { return ResultName(r.Job) }
