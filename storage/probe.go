package storage

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"pitr"
)

// MaxSkew is the largest difference between the clocks of store and machine that a repository may have: what prune may remove
// is decided by the store's clock, and S3 refuses requests beyond this.
const MaxSkew = 15 * time.Minute

// ProbeResult is what Probe saw a store do. Each true is a promise that was kept.
type ProbeResult struct {
	// CreatesOnce: a second create of a name was refused and changed nothing, and of several creates at once one won.
	CreatesOnce bool `json:"createsOnce"`
	// ReadsAfterCreate: an object was there, whole and by range, as soon as it was created.
	ReadsAfterCreate bool `json:"readsAfterCreate"`
	// Lists: the object was in a listing as soon as it was created, and a listing after it left it out.
	Lists bool `json:"lists"`
	// Deletes: objects could be deleted and were gone. False is the better role for everybody but prune.
	Deletes bool `json:"deletes"`
	// KeepsDigest: the store gives back the SHA-256 of an object without reading it.
	KeepsDigest bool `json:"keepsDigest"`
	// Skew is how far the store's clock is ahead of this machine's, 0 where the difference may come from the measuring.
	Skew time.Duration `json:"skewNanoseconds"`
}

// ProbeOptions has the parts of Probe that tests own; the zero value is right.
type ProbeOptions struct {
	// Folder is where the objects of the probe lie, "probe/" and a random name by default. It must be empty.
	Folder string
	// Now is the clock of this machine.
	Now func() time.Time
}

// Probe tries out whether a store keeps the promises of Store. It creates two small objects and deletes them; where the store
// denies deletion they stay. An error means that the store could not be tried, not that it broke a promise.
func Probe(ctx context.Context, s Store, o ProbeOptions) (ProbeResult, error) {
	if o.Folder == "" {
		o.Folder = "probe/" + rand.Text()
	}
	o.Now = clock(o.Now)
	p := probe{store: s, now: o.Now, name: o.Folder + "/once", race: o.Folder + "/race"}
	for _, step := range []func(context.Context) error{p.create, p.read, p.list, p.createAgain, p.createAtOnce, p.delete} {
		if err := step(ctx); err != nil {
			return p.result, fmt.Errorf("probe the store: %w", err)
		}
	}
	return p.result, nil
}

// Broken is the refusal that names the first broken promise a repository cannot do without, nil if there is none.
func (r ProbeResult) Broken() error {
	const op, another = "probe the store", "choose another store for the repository"
	switch {
	case !r.ReadsAfterCreate:
		return pitr.Refusef(op, another, "an object could not be read back right after it was created")
	case !r.Lists:
		return pitr.Refusef(op, another, "an object was not listed right after it was created")
	case r.Skew.Abs() > MaxSkew:
		return pitr.Refusef(op, "set the clock of this machine, or of the store", "the store's clock is %v ahead of this machine's",
			r.Skew.Round(time.Second))
	case !r.CreatesOnce:
		return pitr.Refusef(op, "choose another store, or `--single-writer` if no two processes will ever write to it",
			"the store lets a second create replace an object")
	}
	return nil
}

type probe struct {
	store      Store
	now        func() time.Time
	name, race string
	result     ProbeResult
}

var probeText = []byte("pitr probes whether this store keeps what it is given.\n")

func (p *probe) create(ctx context.Context) error {
	before := p.now()
	if err := p.store.Create(ctx, p.name, probeText); err != nil {
		return err
	}
	o, err := p.store.Stat(ctx, p.name)
	if err != nil {
		return p.missing(err)
	}
	p.result.KeepsDigest = o.SHA256 != ""
	p.result.Skew = skew(o.Modified, before, p.now())
	return nil
}

// skew takes into account that the object was made at some moment in between, and that stores round to seconds.
func skew(modified, before, after time.Time) time.Duration {
	if early := before.Truncate(time.Second); modified.Before(early) {
		return modified.Sub(early)
	}
	if late := after.Add(time.Second); modified.After(late) {
		return modified.Sub(late)
	}
	return 0
}

func (p *probe) read(ctx context.Context) error {
	whole, err := p.store.Read(ctx, p.name, 0, -1)
	if err != nil {
		return p.missing(err)
	}
	part, err := p.store.Read(ctx, p.name, 5, 6)
	if err != nil {
		return p.missing(err)
	}
	p.result.ReadsAfterCreate = string(whole) == string(probeText) && string(part) == string(probeText[5:11])
	return nil
}

func (p *probe) list(ctx context.Context) error {
	found := 0
	for o, err := range p.store.List(ctx, p.name, "") {
		if err != nil {
			return err
		}
		if o.Name == p.name && o.Size == int64(len(probeText)) {
			found++
		}
	}
	for o, err := range p.store.List(ctx, p.name, p.name) {
		if err != nil {
			return err
		}
		if o.Name <= p.name {
			found--
		}
	}
	p.result.Lists = found == 1
	return nil
}

func (p *probe) createAgain(ctx context.Context) error {
	err := p.store.Create(ctx, p.name, []byte("replaced\n"))
	if err != nil && !errors.Is(err, ErrExists) {
		return err
	}
	there, readErr := p.store.Read(ctx, p.name, 0, -1)
	if readErr != nil {
		return p.missing(readErr)
	}
	p.result.CreatesOnce = err != nil && string(there) == string(probeText)
	return nil
}

// createAtOnce finds stores that look first and write then.
func (p *probe) createAtOnce(ctx context.Context) error {
	const racers = 8
	var all sync.WaitGroup
	results := make([]error, racers)
	for i := range racers {
		all.Go(func() { results[i] = p.store.Create(ctx, p.race, fmt.Appendf(nil, "racer %d\n", i)) })
	}
	all.Wait()
	won := 0
	for _, err := range results {
		if err == nil {
			won++
		} else if !errors.Is(err, ErrExists) {
			return err
		}
	}
	p.result.CreatesOnce = p.result.CreatesOnce && won == 1
	return nil
}

func (p *probe) delete(ctx context.Context) error {
	for _, name := range []string{p.name, p.race} {
		err := p.store.Delete(ctx, name)
		if pitr.KindOf(err) == pitr.KindDenied {
			return nil
		}
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	_, err := p.store.Stat(ctx, p.name)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	p.result.Deletes = err != nil
	return nil
}

// missing lets the probe go on without an object that should be there: the broken promise stands in the result.
func (p *probe) missing(err error) error {
	if errors.Is(err, ErrNotFound) || pitr.KindOf(err) == pitr.KindCorrupt {
		return nil
	}
	return err
}
