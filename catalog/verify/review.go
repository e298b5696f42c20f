package verify

import (
	"context"
	"fmt"
	"slices"

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
	whole := v.whole()
	var parts []format.Part
	for i, part := range r.Parts {
		if part.Name.Kind() != format.KindDecisions || part.Name.ID() != r.Job || part.Name.Number() != r.Number || part.Name.Partition() != i {
			return v.disagree(name.String(), "%s has no place there", part.Name)
		}
		there, err := v.claim(g, part)
		if err != nil {
			return err
		}
		whole = whole && there
		if there && v.chosen() {
			parts = append(parts, part)
		}
	}
	if v.Level < LevelDigests {
		return nil
	}
	count := decisionCounter{words: map[string]int64{}, changes: r.changes}
	for object, err := range v.load(ctx, parts) {
		if err == nil && v.Level >= LevelContent {
			err = count.part(ctx, object)
		}
		if err != nil {
			whole = false
			if err := v.judge(object.part.Name.String(), v.where(ctx, object), err); err != nil {
				return err
			}
		}
	}
	if v.Level < LevelContent || !whole {
		return nil
	}
	if what := count.differs(r.Review); what != "" {
		return v.disagree(name.String(), "%s", what)
	}
	return nil
}

// decisionCounter counts the decisions of a review.
type decisionCounter struct {
	last    int64
	words   map[string]int64
	changes *format.Changes
}

func (c *decisionCounter) part(ctx context.Context, object loaded) error {
	container, err := format.OpenContainer(object.data, object.part.Expect()) //nolint:contextcheck // the bytes are in memory
	if err != nil {
		return err
	}
	if documents, raw := container.Count(); documents != object.part.Documents || raw != object.part.Bytes {
		return pitr.Corruptf("", "%d documents and %d bytes, the review says %d and %d", documents, raw, object.part.Documents, object.part.Bytes)
	}
	for document, err := range container.Documents(ctx) {
		if err != nil {
			return err
		}
		decision, err := format.DecodeReviewDecision(document)
		if err != nil {
			return err
		}
		if decision.N <= c.last || !c.isChange(decision.N) {
			return pitr.Corruptf("", "a decision about number %d, which is no change behind %d", decision.N, c.last)
		}
		c.last = decision.N
		c.words[decision.Decision]++
	}
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
