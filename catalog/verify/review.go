package verify

import (
	"context"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/format"
)

// reviewed is a review and the change set that it must be about, nil where there is none.
type reviewed struct {
	format.Review
	changes *format.Changes
}

// review checks imported decisions about a change set.
func (v *verifier) review(ctx context.Context, g *group, r reviewed) error {
	name, err := format.ReviewName(r.Job, r.Number)
	if err != nil {
		return err
	}
	changes, err := format.ChangesName(r.Job)
	if err != nil {
		return err
	}
	unreadable := r.changes == nil && slices.Contains(g.order, changes) // which was found already
	if !unreadable && (r.changes == nil || r.Changes != r.changes.Digest()) {
		if err := v.disagree(name.String(), "it is about another change set than the one of its job"); err != nil {
			return err
		}
	}
	if r.Previous != 0 {
		previous, err := format.ReviewName(r.Job, r.Previous)
		if err != nil {
			return err
		}
		if !slices.Contains(g.order, previous) {
			what := fmt.Sprintf("%s follows it, and it is not there", name)
			if err := v.find(Finding{Kind: Missing, Object: previous.String(), Where: "listing", What: what}); err != nil {
				return err
			}
		}
	}
	list := partList{owner: name.String(), parts: r.Parts, fits: func(part format.Name, i int) bool {
		return part.Kind() == format.KindDecisions && part.ID() == r.Job && part.Number() == r.Number && part.Partition() == i
	}}
	parts, whole, err := v.claimAll(g, list)
	if err != nil {
		return err
	}
	count := decisionCounter{words: map[string]int64{}, changes: r.changes}
	read, err := v.readAll(ctx, parts, count.decision)
	if err != nil || !whole || !read {
		return err
	}
	if what := count.differs(r.Review); what != "" {
		return v.disagree(list.owner, "%s", what)
	}
	return nil
}

// decisionCounter counts the decisions of a review.
type decisionCounter struct {
	last    int64
	words   map[string]int64
	changes *format.Changes
}

func (c *decisionCounter) decision(document bson.Raw) error {
	decision, err := format.DecodeReviewDecision(document)
	if err != nil {
		return err
	}
	if decision.N <= c.last || !c.isChange(decision.N) {
		return pitr.Corruptf("", "a decision about number %d, which is no change behind %d", decision.N, c.last)
	}
	c.last = decision.N
	c.words[decision.Decision]++
	return nil
}

// isChange reports whether the change set has a change of this number.
func (c *decisionCounter) isChange(n int64) bool {
	if c.changes == nil {
		return true // that there is no change set was found already
	}
	last := int64(c.changes.Steps)
	for _, documents := range c.changes.Documents {
		last += documents
	}
	return n > int64(c.changes.Steps) && n <= last
}

// differs says what the review counts otherwise; empty when nothing.
func (c *decisionCounter) differs(review format.Review) string {
	for word, n := range review.Decisions {
		if c.words[word] != n {
			return fmt.Sprintf("it counts %d decisions %q, there are %d", n, word, c.words[word])
		}
	}
	for word, n := range c.words {
		if review.Decisions[word] != n {
			return fmt.Sprintf("it counts %d decisions %q, there are %d", review.Decisions[word], word, n)
		}
	}
	return ""
}
