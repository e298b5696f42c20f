package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// condition is what a bucket makes of If-None-Match.
type condition int

const (
	keepsCondition condition = iota
	// ignoresCondition replaces an object as if nobody had asked.
	ignoresCondition
	// refusesCondition answers that it does not know such a thing.
	refusesCondition
)

// bucket is as much of S3 as the program uses, with the defects of some look-alikes.
type bucket struct {
	*httptest.Server
	condition condition

	mu      sync.Mutex
	objects map[string]bucketObject
	// room is how many more bytes fit, none counted when negative.
	room int
	// replaced are names whose object was written a second time.
	replaced []string
}

type bucketObject struct {
	data     []byte
	digest   string
	modified time.Time
}

func startBucket(t testing.TB, c condition) *bucket {
	t.Helper()
	b := &bucket{condition: c, objects: map[string]bucketObject{}, room: -1}
	b.Server = httptest.NewServer(b)
	t.Cleanup(b.Close)
	return b
}

// arguments name a repository in the bucket; the keys come from the environment, as with every S3 tool.
func (b *bucket) arguments(t *testing.T) []string {
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	return []string{"--repo", "s3://bucket/backups", "--s3-endpoint", b.URL, "--s3-region", "eu-test-1", "--s3-path-style", "true"}
}

// fill leaves room for so many more bytes; negative ends that.
func (b *bucket) fill(room int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.room = room
}

// ServeHTTP answers one request.
func (b *bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/bucket"), "/")
	b.mu.Lock()
	defer b.mu.Unlock()
	object, found := b.objects[key]
	switch {
	case r.Method == http.MethodPut:
		b.put(w, r, key)
	case r.Method == http.MethodGet && key == "":
		b.list(w, r)
	case !found:
		refuseRequest(w, http.StatusNotFound, "NoSuchKey")
	case r.Method == http.MethodDelete:
		delete(b.objects, key)
		w.WriteHeader(http.StatusNoContent)
	case r.Header.Get("Range") != "" && len(object.data) == 0:
		refuseRequest(w, http.StatusRequestedRangeNotSatisfiable, "InvalidRange")
	default:
		w.Header().Set("X-Amz-Meta-Sha256", object.digest)
		http.ServeContent(w, r, "", object.modified, bytes.NewReader(object.data))
	}
}

func refuseRequest(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>refused on purpose</Message></Error>", code)
}

func (b *bucket) put(w http.ResponseWriter, r *http.Request, key string) {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client is gone
	}
	_, taken := b.objects[key]
	conditional := r.Header.Get("If-None-Match") == "*"
	switch {
	case conditional && b.condition == refusesCondition:
		refuseRequest(w, http.StatusNotImplemented, "NotImplemented")
		return
	case conditional && taken && b.condition == keepsCondition:
		refuseRequest(w, http.StatusPreconditionFailed, "PreconditionFailed")
		return
	case b.room >= 0 && len(data) > b.room:
		refuseRequest(w, http.StatusInsufficientStorage, "XMinioStorageFull")
		return
	case taken:
		b.replaced = append(b.replaced, key)
	}
	if b.room >= 0 {
		b.room -= len(data)
	}
	b.objects[key] = bucketObject{data: data, digest: r.Header.Get("X-Amz-Meta-Sha256"), modified: time.Now()}
}

func (b *bucket) list(w http.ResponseWriter, r *http.Request) {
	type entry struct {
		Key          string
		Size         int
		LastModified string
	}
	page := struct {
		XMLName     xml.Name `xml:"ListBucketResult"`
		IsTruncated bool
		Contents    []entry
	}{}
	query := r.URL.Query()
	for key, object := range b.objects {
		if strings.HasPrefix(key, query.Get("prefix")) && key > query.Get("start-after") {
			page.Contents = append(page.Contents, entry{key, len(object.data), object.modified.UTC().Format(time.RFC3339)})
		}
	}
	slices.SortFunc(page.Contents, func(a, b entry) int { return strings.Compare(a.Key, b.Key) })
	if err := xml.NewEncoder(w).Encode(page); err != nil {
		return // the client is gone
	}
}
