package main

import (
	"context"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"pitr"
	"pitr/catalog"
	"pitr/cluster"
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
		store, err = run.openBucket(ctx, place)
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

func (run *session) openBucket(ctx context.Context, place *url.URL) (storage.Store, error) {
	pathStyle, err := strconv.ParseBool(run.settings.values["s3-path-style"])
	if err != nil {
		return nil, pitr.Errorf(pitr.KindInvalid, "read the settings", "write true or false", "s3-path-style is %q",
			run.settings.values["s3-path-style"])
	}
	return s3.Open(ctx, s3.Options{
		Bucket: place.Host, Prefix: strings.Trim(place.Path, "/"), Region: run.settings.values["s3-region"],
		Endpoint: run.settings.values["s3-endpoint"], PathStyle: pathStyle,
	})
}

// openRepository opens the repository that --repo names.
func (run *session) openRepository(ctx context.Context, want access) (*catalog.Repository, error) {
	store, err := run.openStore(ctx, want)
	if err != nil {
		return nil, err
	}
	return catalog.Open(ctx, store, catalog.OpenOptions{})
}

// connect connects to the cluster with the credential of this name: uri or restore-uri.
func (run *session) connect(ctx context.Context, credential string) (*cluster.Client, error) {
	uri, err := run.settings.connection(ctx, credential)
	if err != nil {
		return nil, err
	}
	timeout, err := run.settings.duration("timeout")
	if err != nil {
		return nil, err
	}
	return cluster.Connect(ctx, cluster.Options{URI: uri.reveal(), Timeout: timeout, Log: run.log})
}

// lease is who holds the leases of this run.
func (run *session) lease() catalog.LeaseOptions {
	host, _ := os.Hostname() //nolint:errcheck // for people; an empty one is no harm
	return catalog.LeaseOptions{Holder: operator(), Host: host, Boot: bootID(), Process: os.Getpid()}
}

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
