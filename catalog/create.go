package catalog

import (
	"context"
	"errors"
	"regexp"
	"strings"

	"pitr"
	"pitr/format"
	"pitr/storage"
)

// CreateOptions describe a new repository.
type CreateOptions struct {
	OpenOptions
	// ClusterName is what a person will type before anything is written to the cluster.
	ClusterName string
	// Operator is user@host, Version that of the program, StoreKind a word such as "folder" or "s3"; all may be empty.
	Operator, Version, StoreKind string
	// SingleWriter is a person's promise that no two processes will ever write at once, for a store that does not refuse
	// to replace an object.
	SingleWriter bool
	// Probe has the parts of the store's probe that tests own.
	Probe storage.ProbeOptions
}

// clusterName is narrow on purpose: look-alike letters and blanks make a typed confirmation worthless.
var clusterName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// leftovers is where a probe leaves objects in a store that denies deletion.
const leftovers = "probe/"

// Create makes a repository in an empty store, after trying whether the store keeps its promises. The header comes last:
// without it there is no repository.
func Create(ctx context.Context, store storage.Store, o CreateOptions) (*Repository, error) {
	const op = "create the repository"
	if !clusterName.MatchString(o.ClusterName) {
		return nil, pitr.Errorf(pitr.KindInvalid, op, "use letters, digits, dots, hyphens and underscores, such as devices-eu",
			"%.80q cannot be a cluster name", o.ClusterName)
	}
	if err := mustBeEmpty(ctx, store); err != nil {
		return nil, err
	}
	probed, err := storage.Probe(ctx, store, o.Probe)
	if err != nil {
		return nil, &pitr.Error{Op: op, Err: err}
	}
	promised := probed
	promised.CreatesOnce = probed.CreatesOnce || o.SingleWriter
	if err := promised.Broken(); err != nil {
		return nil, &pitr.Error{Op: op, Err: err}
	}
	r := &Repository{store: store, options: o.resolve()}
	id, err := r.NewID()
	if err != nil {
		return nil, err
	}
	r.header = format.Header{
		ID: id, ClusterName: o.ClusterName, Created: r.now().UTC(), Operator: o.Operator, Pitr: o.Version, Encryption: "none",
		Store: format.StoreProbe{Kind: o.StoreKind, ConditionalCreate: probed.CreatesOnce, SingleWriter: o.SingleWriter},
	}
	if _, err := r.PutObject(ctx, &r.header); err != nil {
		return nil, &pitr.Error{Op: op, Err: err}
	}
	return r, nil
}

// mustBeEmpty refuses a store that holds anything: a repository whose header was lost must not get a new one.
func mustBeEmpty(ctx context.Context, store storage.Store) error {
	const op = "create the repository"
	header := format.HeaderName().String()
	_, err := store.Stat(ctx, header)
	if err == nil {
		return pitr.Errorf(pitr.KindConflict, op, "use it as it is, or choose another place", "a repository is there already")
	}
	if !errors.Is(err, storage.ErrNotFound) && pitr.KindOf(err) != pitr.KindNotFound {
		return err
	}
	for object, err := range store.List(ctx, "", "") {
		if err != nil {
			return err
		}
		if !strings.HasPrefix(object.Name, leftovers) {
			return pitr.Refusef(op, "choose an empty folder or prefix", "the place is not empty: %.160q is there", object.Name)
		}
	}
	return nil
}

// Open opens a repository. One that a newer pitr wrote is refused before anything else is read.
func Open(ctx context.Context, store storage.Store, o OpenOptions) (*Repository, error) {
	r := &Repository{store: store, options: o.resolve()}
	header, err := ReadObject[format.Header](ctx, r, format.HeaderName())
	if errors.Is(err, storage.ErrNotFound) || pitr.KindOf(err) == pitr.KindNotFound {
		return nil, pitr.Errorf(pitr.KindNotFound, "open the repository",
			"check the address; `pitr init --cluster-name NAME` makes a repository", "%w", err)
	}
	if err != nil {
		return nil, &pitr.Error{Op: "open the repository", Err: err}
	}
	if header.Encryption != "none" {
		return nil, pitr.Errorf(pitr.KindUnsupported, "open the repository", "update pitr",
			"it is encrypted in a way that this pitr does not know: %.40q", header.Encryption)
	}
	r.header = header
	return r, nil
}
