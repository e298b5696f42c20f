package restore

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"go.mongodb.org/mongo-driver/v2/bson"
	"golang.org/x/sync/errgroup"

	"pitr"
	"pitr/format"
	"pitr/guard"
	"pitr/internal/failpoint"
)

const (
	// loadDocuments and loadBytes bound one insert command.
	loadDocuments = 4000
	loadBytes     = 4 << 20
)

// copier fills the collections of a copy.
type copier struct {
	CopyDeps
	intent   CopyIntent
	staging  *guard.Staging
	started  bool
	written  atomic.Int64
	warnings []string
}

func (c *copier) stagingPrefix() string { return "pitr_" + string(c.intent.ID) + "_" }

// copyAll copies collections first, then the views on them.
func (c *copier) copyAll(ctx context.Context) error {
	list := slices.Clone(c.intent.Collections)
	slices.SortStableFunc(list, func(a, b Copied) int { return rankOf(a.From) - rankOf(b.From) })
	for n, each := range list {
		if err := ctx.Err(); err != nil {
			return &pitr.Error{Kind: pitr.KindInterrupted, Err: context.Cause(ctx)}
		}
		c.started = true
		var err error
		switch {
		case each.From.Type != pitr.TypeCollection:
			err = c.create(ctx, each)
		case strings.HasPrefix(each.From.NS.Collection, buckets):
			err = c.fillBuckets(ctx, each)
		default:
			err = c.copyCollection(ctx, each, n)
		}
		if err != nil {
			return fmt.Errorf("copy %s: %w", each.From.NS, err)
		}
		failpoint.Hit("copy.between-collections")
	}
	return nil
}

// rankOf orders: time-series collections, which make their buckets, then collections, then views.
func rankOf(c pitr.Collection) int {
	switch c.Type {
	case pitr.TypeTimeseries:
		return 0
	case pitr.TypeView:
		return 2
	}
	return 1
}

func (c *copier) create(ctx context.Context, each Copied) error {
	made := each.From
	made.NS = each.To
	return c.staging.Create(ctx, made)
}

// copyCollection fills a collection under a name of the job's own, and gives it its name when it is whole.
func (c *copier) copyCollection(ctx context.Context, each Copied, n int) error {
	staged := each
	staged.To = pitr.Namespace{DB: each.To.DB, Collection: fmt.Sprintf("%s%d", c.stagingPrefix(), n)}
	if !c.intent.request.Expire {
		staged.From.Options = withoutExpiry(each.From.Options)
	}
	if err := c.create(ctx, staged); err != nil {
		return err
	}
	if err := c.fill(ctx, each, staged.To); err != nil {
		return err
	}
	if err := c.staging.Index(ctx, staged.To, c.indexes(each.From)); err != nil {
		return err
	}
	return c.staging.Rename(ctx, staged.To, each.To)
}

// withoutExpiry leaves out that a clustered collection expires.
func withoutExpiry(options bson.Raw) bson.Raw {
	fields := bson.D{}
	elements, err := options.Elements()
	if err != nil {
		return options
	}
	for _, element := range elements {
		if element.Key() != "expireAfterSeconds" {
			fields = append(fields, bson.E{Key: element.Key(), Value: element.Value()})
		}
	}
	content, err := bson.Marshal(fields)
	if err != nil || len(fields) == len(elements) {
		return options
	}
	return content
}

// indexes gives the specs to build; those that expire documents never do until somebody asks.
func (c *copier) indexes(collection pitr.Collection) []bson.Raw {
	var specs []bson.Raw
	for _, spec := range collection.Indexes {
		if _, err := spec.LookupErr("expireAfterSeconds"); err == nil && !c.intent.request.Expire {
			c.warnings = append(c.warnings, fmt.Sprintf("the index %s of %s expires nothing yet: set its expireAfterSeconds with collMod",
				pitr.IndexName(spec), collection.NS))
			spec = neverExpires(spec)
		}
		specs = append(specs, spec)
	}
	return specs
}

// fillBuckets fills what the creation of a time-series collection has made.
func (c *copier) fillBuckets(ctx context.Context, each Copied) error {
	if err := c.staging.Adopt(ctx, pitr.Namespace{DB: each.To.DB, Collection: strings.TrimPrefix(each.To.Collection, buckets)}, each.To); err != nil {
		return err
	}
	if len(each.From.Indexes) > 0 {
		c.warnings = append(c.warnings, fmt.Sprintf("the indexes of %s are those that the server makes by itself", each.To.KnownAs()))
	}
	return c.fill(ctx, each, each.To)
}

// fill loads all documents of a collection, and compares what arrived.
func (c *copier) fill(ctx context.Context, each Copied, into pitr.Namespace) error {
	part := each.To.String()
	c.Progress.Start(part, pitr.Amount{})
	defer c.Progress.Finish(part)
	sent, err := c.load(ctx, each.From, into)
	if err != nil {
		return err
	}
	settled, err := c.staging.Settle(ctx)
	if err != nil {
		return fmt.Errorf("wait for a majority: %w", err)
	}
	failpoint.Hit("copy.before-compare")
	arrived, err := c.sumOf(ctx, pitr.Range{Collection: pitr.Collection{NS: into}, After: settled})
	if err != nil {
		return fmt.Errorf("read it back: %w", err)
	}
	if arrived != sent {
		return pitr.Errorf(pitr.KindMismatch, "compare the copy", "copy it again under another name",
			"%d documents of %d bytes were sent, %d of %d are there, or others", sent.Documents, sent.Bytes, arrived.Documents, arrived.Bytes)
	}
	return nil
}

// load sends the documents of the past in batches, several at a time, and adds them up.
func (c *copier) load(ctx context.Context, from pitr.Collection, into pitr.Namespace) (format.ContentSum, error) {
	var sent format.ContentSum
	group, working := errgroup.WithContext(ctx)
	group.SetLimit(c.Workers)
	var batch loadBatch
	send := func() {
		full := batch.cut()
		group.Go(func() error {
			if err := c.staging.Load(working, into, full.documents()); err != nil {
				return err
			}
			done := pitr.Amount{Count: int64(len(full.ends)), Bytes: int64(len(full.bytes))}
			c.written.Add(done.Count)
			c.Progress.Advance(into.String(), done)
			return nil
		})
	}
	for document, err := range c.Past.Documents(working, c.intent.To, from) {
		if err != nil {
			if failed := group.Wait(); failed != nil { // which ended the reading
				err = failed
			}
			return sent, err
		}
		sent.Add(document)
		batch.add(document)
		if batch.full() {
			send()
		}
	}
	if len(batch.ends) > 0 {
		send()
	}
	return sent, group.Wait()
}

// loadBatch gathers documents in one piece of memory.
type loadBatch struct {
	bytes []byte
	ends  []int
}

func (b *loadBatch) add(document bson.Raw) {
	b.bytes = append(b.bytes, document...)
	b.ends = append(b.ends, len(b.bytes))
}

func (b *loadBatch) full() bool { return len(b.ends) >= loadDocuments || len(b.bytes) >= loadBytes }

// cut gives what was gathered, and begins anew.
func (b *loadBatch) cut() loadBatch {
	full := *b
	*b = loadBatch{bytes: make([]byte, 0, cap(full.bytes)), ends: make([]int, 0, cap(full.ends))}
	return full
}

func (b *loadBatch) documents() []bson.Raw {
	list := make([]bson.Raw, 0, len(b.ends))
	start := 0
	for _, end := range b.ends {
		list = append(list, bson.Raw(b.bytes[start:end:end]))
		start = end
	}
	return list
}

// sumOf adds up what a live collection holds.
func (c *copier) sumOf(ctx context.Context, live pitr.Range) (format.ContentSum, error) {
	var sum format.ContentSum
	for batch, err := range c.Contents.Scan(ctx, live) {
		if err != nil {
			return sum, err
		}
		for document, err := range batch.Documents() {
			if err != nil {
				return sum, err
			}
			sum.Add(document)
		}
	}
	return sum, nil
}
