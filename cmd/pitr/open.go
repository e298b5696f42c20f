package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"pitr"
	"pitr/catalog"
	"pitr/cluster"
	"pitr/format"
	"pitr/storage"
	"pitr/storage/s3"
)

// access says what a command may do to the repository.
type access int

const (
	reading access = iota
	writing
	// creating makes the folder of a repository that is not there yet.
	creating
)

// openStore opens the place that --repo names.
func (run *session) openStore(ctx context.Context, want access) (storage.Store, error) {
	const op = "open the repository"
	text := run.settings.values["repo"]
	if text == "" {
		return nil, pitr.Errorf(pitr.KindInvalid, op, "give --repo file:///path or s3://bucket/prefix, or set PITR_REPO", "no repository is named")
	}
	place, err := url.Parse(text)
	if err != nil || place.User != nil || place.RawQuery != "" || place.Fragment != "" {
		return nil, pitr.Errorf(pitr.KindInvalid, op, "write file:///path or s3://bucket/prefix, without user or options",
			"the repository cannot be read as a URL")
	}
	var store storage.Store
	switch {
	case place.Scheme == "file" && place.Host == "" && filepath.IsAbs(place.Path):
		store, err = openFolder(place.Path, want)
	case place.Scheme == "s3" && place.Host != "":
		store, err = run.openBucket(ctx, place, run.alone)
	default:
		err = pitr.Errorf(pitr.KindInvalid, op, "write file:///path (three slashes) or s3://bucket/prefix", "%q names no place that pitr knows",
			place.Redacted())
	}
	if err != nil {
		return nil, err
	}
	if want == reading {
		store = storage.ReadOnly(store)
	}
	return storage.Retry(store, storage.RetryOptions{Log: run.log}), nil
}

func openFolder(path string, want access) (storage.Store, error) {
	if want == creating {
		return storage.CreateFolder(path, storage.FolderOptions{})
	}
	return storage.OpenFolder(path, storage.FolderOptions{})
}

func (run *session) openBucket(ctx context.Context, place *url.URL, alone bool) (storage.Store, error) {
	pathStyle, err := strconv.ParseBool(run.settings.values["s3-path-style"])
	if err != nil {
		return nil, err // checked before
	}
	return s3.Open(ctx, s3.Options{
		Bucket: place.Host, Prefix: strings.Trim(place.Path, "/"), Region: run.settings.values["s3-region"],
		Endpoint: run.settings.values["s3-endpoint"], PathStyle: pathStyle, SingleWriter: alone,
	})
}

// openRepository opens the repository that --repo names.
func (run *session) openRepository(ctx context.Context, want access) (*catalog.Repository, error) {
	return run.openRepositoryIn(ctx, want, func(store storage.Store) storage.Store { return store })
}

// openScratch opens the repository for a dry run: what is created in it goes to memory. There a run archives by itself what
// the archive lacks, without waiting for the archiver that runs: only it sees those segments.
func (run *session) openScratch(ctx context.Context) (*catalog.Repository, error) {
	return run.openRepositoryIn(ctx, reading, func(store storage.Store) storage.Store {
		return storage.Overlay(storage.Without(store, format.LeasePrefix(catalog.LeaseArchive)), storage.NewMemory())
	})
}

func (run *session) openRepositoryIn(ctx context.Context, want access, wrap func(storage.Store) storage.Store) (*catalog.Repository, error) {
	defer run.waitingFor("the repository " + run.settings.values["repo"])()
	store, err := run.openStore(ctx, want)
	if err != nil {
		return nil, err
	}
	repository, err := catalog.Open(ctx, wrap(store), catalog.OpenOptions{})
	if err == nil {
		run.metrics.Cluster = repository.ClusterName()
	}
	if err != nil || run.alone || !repository.Header().Store.SingleWriter {
		return repository, err
	}
	run.alone = true // case S14: the store is written to in the way that init was told
	return run.openRepositoryIn(ctx, want, wrap)
}

// dial connects to the cluster with the credential of this name, whatever rights its user has.
func (run *session) dial(ctx context.Context, credential string) (*cluster.Client, error) {
	uri, err := run.settings.connection(ctx, credential)
	if err != nil {
		return nil, err
	}
	timeout, err := run.settings.duration("timeout")
	if err != nil {
		return nil, err
	}
	defer run.waitingFor(fmt.Sprintf("the cluster of %s, at most %s", variable(credential), timeout))()
	return cluster.Connect(ctx, cluster.Options{URI: uri.reveal(), Timeout: timeout, Log: run.log})
}

// connect connects to the cluster with the credential of this name: uri or restore-uri.
func (run *session) connect(ctx context.Context, credential string) (*cluster.Client, error) {
	client, err := run.dial(ctx, credential)
	if err != nil {
		return nil, err
	}
	if err := needRights(ctx, client, credential); err != nil { // case D12
		client.Close(context.WithoutCancel(ctx))
		return nil, err
	}
	return client, nil
}

// needRights refuses a login that lacks what its commands will need, before they begin: a right that is missed half-way
// costs more than one that is missed now.
func needRights(ctx context.Context, client *cluster.Client, credential string) error {
	purpose, roles := cluster.ForReading, "backup and clusterMonitor"
	if credential == "restore-uri" {
		purpose, roles = cluster.ForWriting, "restore, readWriteAnyDatabase and clusterMonitor"
	}
	lacking, err := client.MissingRights(ctx, purpose)
	if err != nil || len(lacking) == 0 {
		return err
	}
	return pitr.Errorf(pitr.KindDenied, "use the login of "+credential, "grant the user of "+variable(credential)+" the roles "+roles,
		"it lacks %s", strings.Join(lacking, "; "))
}

// lease is who holds the leases of this run.
func (run *session) lease() catalog.LeaseOptions {
	host, _ := os.Hostname() // for people: an empty one is no harm
	return catalog.LeaseOptions{Holder: operator(), Host: host, Boot: bootID(), Process: os.Getpid()}
}

// leaseAloud is the same of a run that says at once whom it waits for: a person who sees nothing move for a minute begins
// to try things.
func (run *session) leaseAloud(shown *progress) catalog.LeaseOptions {
	options := run.lease()
	options.Waiting = func(holder catalog.LeaseState) {
		shown.Clear()
		if run.calm {
			return
		}
		fmt.Fprintln(run.err, wrapped("", printable(fmt.Sprintf("%s (process %d on %s) is at work since %s, or was cut off", holder.Owner(),
			holder.Record.Process, holder.Record.Host, holder.Record.Taken.UTC().Format("15:04:05 UTC"))), run.width))
		fmt.Fprintln(run.err, wrapped("", signOfLife, run.width))
	}
	return options
}

// signOfLife is said before the time that it takes to know whether the holder of a lease is alive.
const signOfLife = "looking for a sign of life: at most a minute ..."

// operator is user@host, for people who read a repository later.
func operator() string {
	name := "unknown"
	if current, err := user.Current(); err == nil {
		name = current.Username
	}
	host, err := os.Hostname()
	if err != nil {
		return name
	}
	return name + "@" + host
}

// bootID tells one start of this machine from the next, where the system says so.
func bootID() string {
	content, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(content))
}
