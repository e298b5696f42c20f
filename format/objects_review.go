package format

import (
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

// Review makes imported decisions about a job's lost set exist.
type Review struct {
	Job ID `json:"job"`
	// Number counts the reviews of a job from 1.
	Number int `json:"number"`
	// Previous is the number of the review before this one, zero for the first. A number without a review is what a crash left.
	Previous int       `json:"previous,omitempty"`
	Created  time.Time `json:"created"`
	Operator string    `json:"operator,omitempty"`
	// File is the name of the file that the decisions were read from, without its folder, and FileDigest its sha256.
	File       string `json:"file"`
	FileDigest Digest `json:"fileSha256"`
	// Changes is the digest of the change set that the decisions are about.
	Changes Digest `json:"changes"`
	// Decisions counts them by word.
	Decisions map[string]int64 `json:"decisions"`
	// Rows counts the rows of the file, Blank those without a decision, Bad those that a person had left out.
	Rows  int64 `json:"rows"`
	Blank int64 `json:"blank,omitempty"`
	Bad   int64 `json:"bad,omitempty"`
	// Parts lists the containers in the order of their numbers.
	Parts []Part `json:"parts"`
	kept
}

// ObjectName follows from job and number.
func (r *Review) ObjectName() (Name, error) { return ReviewName(r.Job, r.Number) }

// Digest stands for the whole content of a change set: job, parts, and through their digests every change.
func (c Changes) Digest() Digest {
	said := []byte("pitr changes 1\x00" + string(c.Job))
	for _, part := range c.Parts {
		said = append(said, part.SHA256[:]...)
	}
	return Sum(said)
}

// ReviewDecision is what a review says about one change: one document of its parts.
type ReviewDecision struct {
	// N is the number of the change in the change set.
	N int64
	// Decision is a word of package reconcile.
	Decision string
}

// BSON gives the document for Writer.Append.
func (d ReviewDecision) BSON() bson.Raw {
	b := newDocument()
	b.int64("n", d.N)
	b.string("decision", d.Decision)
	return b.done()
}

// maxDecision is the length of the longest word that a reader takes for a decision.
const maxDecision = 64

// DecodeReviewDecision reads a document of a review's parts.
func DecodeReviewDecision(document bson.Raw) (ReviewDecision, error) {
	f := readFields(document)
	d := ReviewDecision{N: f.int64("n"), Decision: f.string("decision")}
	if f.err == nil && (d.N < 1 || d.Decision == "" || len(d.Decision) > maxDecision) {
		f.err = fmt.Errorf("decision %.80q about number %d", d.Decision, d.N)
	}
	if f.err != nil {
		return ReviewDecision{}, pitr.Corruptf("read a decision", "%w", f.err)
	}
	return d, nil
}
