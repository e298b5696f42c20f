package restore

import (
	"context"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/catalog"
	"pitr/format"
)

// StepWrite announces the first write of a job, StepLeft lists what it leaves out: by these names every kind of job does so.
const (
	StepWrite = stepWrite
	StepLeft  = stepLeft
)

// The steps of a job as its records name them. A record is published before what it announces, but for those that say
// that something is done.
const (
	stepEvidence = "evidence taken"
	stepFreeze   = "freeze"
	stepFrozen   = "frozen"
	stepSealed   = "sealed"
	stepLeft     = "left alone"
	stepWrite    = "write"
	stepPhase    = "phase done"
	stepVerified = "verified"
	stepUnfrozen = "unfrozen"
	stepStopped  = "stopped"
)

// StepDetail is what the step records of a job carry beside their time; each step uses some of it.
type StepDetail struct {
	Way      string `bson:"way,omitempty"`
	Snapshot string `bson:"snapshot,omitempty"`
	Phase    string `bson:"phase,omitempty"`
	Kind     string `bson:"kind,omitempty"`
	// Adopted is the job whose write block this one works under, when it is not its own.
	Adopted string `bson:"adopted,omitempty"`
	// Left are the things that an undo left alone: how many, and the first of them.
	LeftCount int64  `bson:"leftCount,omitempty"`
	Left      []left `bson:"left,omitempty"`
	// Unwritten are the numbers of the changes that a reconcile published and did not make, by PackNumbers: its undo leaves them.
	Unwritten []byte `bson:"unwritten,omitempty"`
	// Block is the optime of the entry that set the write block.
	Block *blockMark `bson:"block,omitempty"`
	// First and Last are the job's own entries, Written its documents, as they stood when the result was verified.
	First   *blockMark `bson:"first,omitempty"`
	Last    *blockMark `bson:"last,omitempty"`
	Written int64      `bson:"written,omitempty"`
}

type blockMark struct {
	TS   bson.Timestamp `bson:"ts"`
	Term int64          `bson:"t"`
}

func markOf(at pitr.OpTime) *blockMark {
	if at.IsZero() {
		return nil
	}
	return &blockMark{TS: at.TS.BSON(), Term: at.Term}
}

// opTime gives what markOf was given.
func (m *blockMark) opTime() pitr.OpTime {
	if m == nil {
		return pitr.OpTime{}
	}
	return pitr.OpTime{TS: pitr.TimestampOf(m.TS), Term: m.Term}
}

// Journal publishes the step records of one attempt and knows those of earlier ones.
type Journal struct {
	repository *catalog.Repository
	job        format.ID
	host       string
	now        func() time.Time
	attempt    int
	number     int
	past       []format.StepRecord
}

// NewJournal begins another attempt at a job, behind the step records of the earlier ones.
func NewJournal(deps Deps, job format.ID, past []format.StepRecord) *Journal {
	j := &Journal{repository: deps.Repository, job: job, host: deps.Host, now: deps.Now, attempt: 1, past: past}
	for _, record := range past {
		j.attempt = max(j.attempt, record.Attempt+1)
	}
	return j
}

// Record publishes a step. Whoever reads the job later knows it from here on.
func (j *Journal) Record(ctx context.Context, step string, at pitr.OpTime, d StepDetail) error {
	content, err := bson.Marshal(d)
	if err != nil {
		return fmt.Errorf("record the step %q: %w", step, err)
	}
	j.number++
	record := format.StepRecord{Job: j.job, Attempt: j.attempt, Number: j.number, Step: step, Taken: j.now().UTC(),
		Host: j.host, At: at, Detail: content}
	if _, err := j.repository.PutObject(ctx, &record); err != nil {
		return fmt.Errorf("record the step %q: %w", step, err)
	}
	j.past = append(j.past, record)
	return nil
}

// Attempt counts the attempts at the job, this one included.
func (j *Journal) Attempt() int { return j.attempt }

// Last gives the newest record of a step; false when the job never came to it.
func (j *Journal) Last(step string) (format.StepRecord, StepDetail, bool) {
	for i := len(j.past) - 1; i >= 0; i-- {
		if j.past[i].Step == step {
			var d StepDetail
			_ = bson.Unmarshal(j.past[i].Detail, &d) // its digest fits: it is what record wrote
			return j.past[i], d, true
		}
	}
	return format.StepRecord{}, StepDetail{}, false
}
