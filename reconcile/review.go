package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"pitr"
	"pitr/catalog"
	"pitr/format"
)

// ReviewRow is what import takes from a row of a review file: nothing else of the row counts.
type ReviewRow struct {
	// Number counts rows from 1 as a spreadsheet does, the row of headings included.
	Number          int
	Token, Decision string
}

// BadRow is a row that cannot be understood, with the reason for the person who made it.
type BadRow struct {
	Row     int
	Problem string
}

// Reviewed is what a review file says.
type Reviewed struct {
	// Decisions are in the order of their numbers, one for each record at most.
	Decisions []format.ReviewDecision
	// Rows counts the rows with a token, Blank those of them without a decision.
	Rows, Blank int64
	// Missing counts the records of the list that no row is about.
	Missing int64
	// Bad are in the order of rows. Of a record that has a bad row nothing is decided.
	Bad []BadRow
}

// ParseDecision reads a decision as people spell it: case, spaces, hyphens and the comma do not matter. Nothing at all is
// understood, as no decision.
func ParseDecision(text string) (Decision, bool) {
	said := letters(text)
	if said == "" {
		return "", strings.TrimSpace(text) == ""
	}
	for _, decision := range AllDecisions {
		if said == letters(string(decision)) {
			return decision, true
		}
	}
	return "", false
}

// AllDecisions lists the decisions in the order in which they are offered.
var AllDecisions = []Decision{DecisionLeave, DecisionPutBack, DecisionPutBackAll, DecisionDelete}

// letters gives the letters of a text in lower case. A digit or a sign that nobody types by accident stays, so that no other
// word is taken for a decision.
func letters(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || strings.ContainsRune("-_,;.\u200B\uFEFF", r) {
			return -1
		}
		return unicode.ToLower(r)
	}, text)
}

// said is what a file says about one token.
type said struct {
	// rows are all rows with the token, row the one that decided.
	rows     []int
	row      int
	decision Decision
	known    bool
	// torn says that two rows decide differently.
	torn bool
}

// ReadRows judges the rows of a review file against the change set that it must be about. Each token is computed anew for
// each record of the set: one that is not found belongs to another list, or was edited.
func ReadRows(changes format.Changes, rows iter.Seq2[ReviewRow, error]) (Reviewed, error) {
	var result Reviewed
	tokens := map[string]*said{}
	for row, err := range rows {
		if err != nil {
			return Reviewed{}, err
		}
		result.add(tokens, row)
	}
	for n := int64(changes.Steps) + 1; n <= lastNumber(changes); n++ {
		one := tokens[Token(changes, n)]
		if one == nil {
			result.Missing++
			continue
		}
		one.known = true
		if one.decision != "" && !one.torn {
			result.Decisions = append(result.Decisions, format.ReviewDecision{N: n, Decision: string(one.decision)})
		}
	}
	for token, one := range tokens {
		if one.known {
			continue
		}
		for _, row := range one.rows {
			result.Bad = append(result.Bad, BadRow{Row: row, Problem: fmt.Sprintf("the token %.40q is of no record of this job; it was edited, or the row is of another file", token)})
		}
	}
	slices.SortStableFunc(result.Bad, func(a, b BadRow) int { return cmp.Compare(a.Row, b.Row) })
	return result, nil
}

// lastNumber is the number of the last change of a set.
func lastNumber(changes format.Changes) int64 {
	last := int64(changes.Steps)
	for _, documents := range changes.Documents {
		last += documents
	}
	return last
}

// add takes a row down. Rows with nothing in both columns are what spreadsheets leave at the end.
func (r *Reviewed) add(tokens map[string]*said, row ReviewRow) {
	token := strings.ToLower(strings.TrimSpace(row.Token))
	decision, understood := ParseDecision(row.Decision)
	if token == "" {
		if !understood || decision != "" {
			r.Bad = append(r.Bad, BadRow{Row: row.Number, Problem: fmt.Sprintf("it says %.40q and has no token: without one nobody knows which record is meant", row.Decision)})
		}
		return
	}
	r.Rows++
	before := tokens[token]
	if before == nil {
		before = &said{}
		tokens[token] = before
	}
	before.rows = append(before.rows, row.Number)
	switch {
	case !understood:
		before.torn = true
		r.Bad = append(r.Bad, BadRow{Row: row.Number, Problem: fmt.Sprintf("%.40q is no decision; write one of: %s", row.Decision, decisionList())})
	case decision == "":
		r.Blank++
	case before.decision != "" && before.decision != decision:
		before.torn = true
		r.Bad = append(r.Bad, BadRow{Row: row.Number, Problem: fmt.Sprintf("it says %q, and row %d says %q of the same record (they have one token)", decision, before.row, before.decision)})
	default:
		before.row, before.decision = row.Number, decision
	}
}

func decisionList() string {
	words := make([]string, len(AllDecisions))
	for i, decision := range AllDecisions {
		words[i] = fmt.Sprintf("%q", string(decision))
	}
	return strings.Join(words, ", ")
}

// Source says where decisions come from.
type Source struct {
	// File is the name of the file without its folder, Digest that of its content.
	File     string
	Digest   format.Digest
	Operator string
	Now      time.Time
}

// Publish stores what a file says about a job's change set: parts first, each read back, then the object that makes them
// count. Its number is the next after everything that lies there, also after what a killed import left.
func (r Reviewed) Publish(ctx context.Context, repository *catalog.Repository, job catalog.Job, source Source) (format.Review, error) {
	review := format.Review{Job: job.ID, Created: source.Now.UTC(), Operator: source.Operator, File: source.File, FileDigest: source.Digest,
		Changes: job.Changes.Digest(), Decisions: map[string]int64{}, Rows: r.Rows, Blank: r.Blank, Bad: int64(len(r.Bad)), Parts: []format.Part{}}
	for found, err := range repository.List(ctx, format.JobPrefix(job.ID), "") {
		if err != nil {
			return review, err
		}
		switch found.Name.Kind() {
		case format.KindReview:
			review.Previous = max(review.Previous, found.Name.Number())
			review.Number = max(review.Number, found.Name.Number())
		case format.KindDecisions:
			review.Number = max(review.Number, found.Name.Number())
		}
	}
	review.Number++
	if err := r.putParts(ctx, repository, &review); err != nil {
		return review, err
	}
	_, err := repository.PutObject(ctx, &review)
	return review, err
}

func (r Reviewed) putParts(ctx context.Context, repository *catalog.Repository, review *format.Review) error {
	writer, err := format.NewWriter(format.WriterOptions{})
	if err != nil {
		return err
	}
	seal := func() error {
		if writer.Documents() == 0 {
			return nil
		}
		name, err := format.DecisionsName(review.Job, review.Number, len(review.Parts))
		if err != nil {
			return fmt.Errorf("review %d of job %s: %w", review.Number, review.Job, err)
		}
		sealed, err := writer.Finish(name, nil)
		if err != nil {
			return err
		}
		review.Parts = append(review.Parts, format.PartOf(sealed))
		return repository.PutAndRead(ctx, name, sealed.Data)
	}
	for _, decision := range r.Decisions {
		if writer.Full() {
			if err := seal(); err != nil {
				return err
			}
		}
		if _, err := writer.Append(0, decision.BSON()); err != nil {
			return err
		}
		review.Decisions[decision.Decision]++
	}
	return seal()
}

// reviewed are the decisions of a job's reviews by number.
type reviewed map[int64]Decision

// Of gives the decision about a change.
func (r reviewed) Of(n int64) (Decision, bool) {
	decision, found := r[n]
	return decision, found
}

// ReadReview reads the decisions of all reviews of a job. Of several that speak of a record the newest counts; what it does
// not speak of stays as it was decided before. A review that is damaged, or that is about another change set, is an error:
// without it a record would be lost in silence.
func ReadReview(ctx context.Context, repository *catalog.Repository, job catalog.Job) (Decisions, error) {
	all := reviewed{}
	for _, name := range job.Reviews {
		review, err := repository.Review(ctx, name)
		if err != nil {
			return nil, err
		}
		if err := checkReview(job, review); err != nil {
			return nil, err
		}
		if review.Previous != 0 && !slices.ContainsFunc(job.Reviews, func(other format.Name) bool { return other.Number() == review.Previous }) {
			return nil, pitr.Corruptf("read "+name.String(), "review %d, which it follows, is missing, and with it what people had decided", review.Previous)
		}
		counts, last := map[string]int64{}, int64(job.Changes.Steps)
		for decision, err := range repository.ReviewDecisions(ctx, review) {
			if err != nil {
				return nil, err
			}
			if decision.N <= last || decision.N > lastNumber(*job.Changes) {
				return nil, pitr.Corruptf("read "+name.String(), "a decision about number %d, which is no record behind %d", decision.N, last)
			}
			last = decision.N
			counts[decision.Decision]++
			if !slices.Contains(AllDecisions, Decision(decision.Decision)) {
				return nil, pitr.Errorf(pitr.KindUnsupported, "read "+name.String(), "update pitr", "%.40q is no decision that this pitr knows", decision.Decision)
			}
			all[decision.N] = Decision(decision.Decision)
		}
		if !maps.Equal(counts, review.Decisions) {
			return nil, pitr.Corruptf("read "+name.String(), "it counts the decisions %v, there are %v", review.Decisions, counts)
		}
	}
	return all, nil
}

// checkReview holds a review against the change set of its job, and its parts against its name.
func checkReview(job catalog.Job, review format.Review) error {
	op := fmt.Sprintf("read review %d of job %s", review.Number, review.Job)
	if job.Changes == nil || review.Changes != job.Changes.Digest() {
		return pitr.Corruptf(op, "it is about another list of changes")
	}
	for i, part := range review.Parts {
		if part.Name.Kind() != format.KindDecisions || part.Name.ID() != review.Job || part.Name.Number() != review.Number || part.Name.Partition() != i {
			return pitr.Corruptf(op, "%s has no place there", part.Name)
		}
	}
	return nil
}
