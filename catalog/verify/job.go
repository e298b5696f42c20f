package verify

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/format"
)

// job checks one folder of jobs/.
func (v *verifier) job(ctx context.Context, g *group) error {
	intent, err := format.IntentName(g.id)
	if err != nil {
		return err
	}
	if !g.has(intent) {
		if err := v.find(Finding{Kind: Missing, Object: intent.String(), Where: "listing", What: "the job has no intent"}); err != nil {
			return err
		}
	}
	var changes *format.Changes
	var reviews []format.Review
	steps := map[int]int{}
	for _, name := range g.order {
		switch name.Kind() {
		case format.KindIntent:
			g.take(name)
			err = readSingle(ctx, v, name, func(i format.Intent) {
				// A job that has ended needs its base no more; prune may have removed it.
				if result, err := format.ResultName(g.id); i.Base != "" && err == nil && !g.has(result) {
					v.wanted = append(v.wanted, reference{object: name.String(), snapshot: i.Base})
				}
			})
		case format.KindStep:
			g.take(name)
			// Steps are listed by attempt, then by number: the next one of an attempt is the next number.
			if steps[name.Attempt()]++; steps[name.Attempt()] != name.Number() {
				steps[name.Attempt()] = name.Number()
				err = v.find(Finding{Kind: Missing, Object: name.String(), Where: "listing", What: "the step before it is not there"})
			}
			if err == nil {
				err = readSingle[format.StepRecord](ctx, v, name, nil)
			}
		case format.KindChanges:
			g.take(name)
			err = readSingle(ctx, v, name, func(c format.Changes) { changes = &c })
		case format.KindResult:
			g.take(name)
			err = readSingle[format.Result](ctx, v, name, nil)
		case format.KindReview:
			g.take(name)
			err = readSingle(ctx, v, name, func(r format.Review) { reviews = append(reviews, r) })
		}
		if err != nil {
			return err
		}
	}
	if changes != nil {
		if err := v.changes(ctx, g, *changes); err != nil {
			return err
		}
	}
	for _, review := range reviews {
		if err := v.review(ctx, g, reviewed{review, changes}); err != nil {
			return err
		}
	}
	return v.unreferenced(g)
}

// changes checks the change set of a job.
func (v *verifier) changes(ctx context.Context, g *group, changes format.Changes) error {
	list := partList{owner: g.folder + "changes.json", parts: changes.Parts, fits: func(name format.Name, i int) bool {
		return name.Kind() == format.KindChangePart && name.ID() == changes.Job && name.Number() == i
	}}
	parts, whole, err := v.claimAll(g, list)
	if err != nil {
		return err
	}
	count := counter{next: 1, classes: map[pitr.Class]int64{}, whole: whole}
	read, err := v.readAll(ctx, parts, count.document)
	if err != nil || !whole || !read {
		return err
	}
	if what := count.differs(changes); what != "" {
		return v.disagree(list.owner, "%s", what)
	}
	return nil
}

// partList is the containers that an object lists.
type partList struct {
	// owner is that object.
	owner string
	parts []format.Part
	// fits reports whether a part with this name belongs at a place of the list.
	fits func(name format.Name, place int) bool
}

// claimAll makes sure that each part has its place and is there. It gives those that are to be read, and whether that is
// all of them.
func (v *verifier) claimAll(g *group, list partList) (parts []format.Part, whole bool, err error) {
	whole = v.whole()
	for i, part := range list.parts {
		if !list.fits(part.Name, i) {
			return nil, false, v.disagree(list.owner, "%s has no place there", part.Name)
		}
		there, err := v.claim(g, part)
		if err != nil {
			return nil, false, err
		}
		whole = whole && there
		if there && v.chosen() {
			parts = append(parts, part)
		}
	}
	return parts, whole, nil
}

// readAll reads parts as deep as the level asks, and hands their documents over in order. It reports whether every document
// was read and taken.
func (v *verifier) readAll(ctx context.Context, parts []format.Part, take func(bson.Raw) error) (read bool, err error) {
	if v.Level < LevelDigests {
		return false, nil
	}
	read = v.Level >= LevelContent
	for object, err := range v.load(ctx, parts) {
		if err == nil && v.Level >= LevelContent {
			err = takeDocuments(ctx, object, take)
		}
		if err != nil {
			read = false
			if err := v.judge(object.part.Name.String(), v.where(ctx, object), err); err != nil {
				return false, err
			}
		}
	}
	return read, nil
}

func takeDocuments(ctx context.Context, object loaded, take func(bson.Raw) error) error {
	container, err := format.OpenContainer(object.data, object.part.Expect()) //nolint:contextcheck // the bytes are in memory
	if err != nil {
		return err
	}
	if documents, raw := container.Count(); documents != object.part.Documents || raw != object.part.Bytes {
		return pitr.Corruptf("", "%d documents and %d bytes, its list says %d and %d", documents, raw, object.part.Documents, object.part.Bytes)
	}
	for document, err := range container.Documents(ctx) {
		if err != nil {
			return err
		}
		if err := take(document); err != nil {
			return err
		}
	}
	return nil
}

// counter counts the documents of a change set.
type counter struct {
	next    int64
	steps   int
	classes map[pitr.Class]int64
	// whole says that all parts are read, so that numbers must follow each other.
	whole bool
}

func (c *counter) document(document bson.Raw) error {
	var n int64
	if format.IsCatalogStep(document) {
		step, err := format.DecodeCatalogStep(document)
		if err != nil {
			return err
		}
		if len(c.classes) > 0 {
			return pitr.Corruptf("", "a catalog step after the first change")
		}
		n = step.N
		c.steps++
	} else {
		change, err := format.DecodeChange(document)
		if err != nil {
			return err
		}
		n = change.N
		c.classes[change.Class]++
	}
	if c.whole && n != c.next {
		return pitr.Corruptf("", "number %d where %d follows", n, c.next)
	}
	c.next++
	return nil
}

// differs says what changes.json counts otherwise; empty when nothing.
func (c *counter) differs(changes format.Changes) string {
	if c.steps != changes.Steps {
		return fmt.Sprintf("it counts %d catalog steps, there are %d", changes.Steps, c.steps)
	}
	for class, n := range changes.Documents {
		if c.classes[class] != n {
			return fmt.Sprintf("it counts %d documents of class %s, there are %d", n, class, c.classes[class])
		}
	}
	for class, n := range c.classes {
		if changes.Documents[class] != n {
			return fmt.Sprintf("it counts %d documents of class %s, there are %d", changes.Documents[class], class, n)
		}
	}
	return ""
}
