package s3_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"pitr/storage/s3"
)

// fake is a bucket in the process: as much of the protocol as the store uses, and a script of faults. It checks no signatures
// (versitygw does, in tests/), but it checks that the body is what the signed digest and the checksum say.
type fake struct {
	*httptest.Server
	t       *testing.T
	mu      sync.Mutex
	objects map[string]kept
	faults  []fault
	log     []string
}

type kept struct {
	data     []byte
	digest   string
	modified time.Time
}

// fault is what happens at the next requests of a method whose path has an end, instead of the answer.
type fault struct {
	method, end string
	times       int
	act         func(w http.ResponseWriter, r *http.Request)
}

const pageSize = 1000

func newFake(t *testing.T, faults ...fault) *fake {
	t.Helper()
	f := &fake{t: t, objects: make(map[string]kept), faults: faults}
	ctx, stop := context.WithCancel(context.Background())
	f.Server = httptest.NewUnstartedServer(f)
	f.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	f.Start()
	t.Cleanup(func() {
		stop() // some faults hold their connection for ever
		f.Close()
		for _, left := range f.faults {
			if left.times > 0 {
				t.Errorf("the fault at %s %q never came to pass %d times", left.method, left.end, left.times)
			}
		}
	})
	return f
}

// open gives a store on the fake; change may alter the options.
func (f *fake) open(t *testing.T, change func(*s3.Options)) *s3.Store {
	t.Helper()
	o := s3.Options{
		Bucket: "bucket", Prefix: "some/prefix", Region: "eu-test-1", Endpoint: f.URL, PathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider("key", "secret", ""),
	}
	if change != nil {
		change(&o)
	}
	s, err := s3.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if act := f.next(r); act != nil {
		act(w, r)
		return
	}
	key, found := strings.CutPrefix(r.URL.Path, "/bucket")
	if !found {
		refuse(w, http.StatusNotFound, "NoSuchBucket")
		return
	}
	key = strings.TrimPrefix(key, "/")
	switch {
	case r.Method == http.MethodPut:
		f.put(w, r, key)
	case r.Method == http.MethodGet && key == "":
		f.list(w, r)
	case r.Method == http.MethodGet, r.Method == http.MethodHead:
		f.get(w, r, key)
	case r.Method == http.MethodDelete:
		f.mu.Lock()
		delete(f.objects, key)
		f.mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	}
}

func (f *fake) next(r *http.Request) func(http.ResponseWriter, *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.log = append(f.log, r.Method+" "+r.URL.Path)
	for i := range f.faults {
		if x := &f.faults[i]; x.times > 0 && x.method == r.Method && strings.HasSuffix(r.URL.Path, x.end) {
			x.times--
			return x.act
		}
	}
	return nil
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>as scripted</Message></Error>", code)
}

func (f *fake) put(w http.ResponseWriter, r *http.Request, key string) {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return // the connection is gone
	}
	digest := sha256.Sum256(data)
	sum := binary.BigEndian.AppendUint32(nil, crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)))
	for header, want := range map[string]string{
		"X-Amz-Content-Sha256":     hex.EncodeToString(digest[:]),
		"X-Amz-Meta-Sha256":        hex.EncodeToString(digest[:]),
		"X-Amz-Checksum-Crc32c":    base64.StdEncoding.EncodeToString(sum),
		"X-Amz-Checksum-Crc64nvme": "",
		"X-Amz-Trailer":            "",
		"Content-Encoding":         "",
	} {
		if got := r.Header.Get(header); got != want {
			f.t.Errorf("PUT %s: %s is %q, want %q", key, header, got, want)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, taken := f.objects[key]; taken && r.Header.Get("If-None-Match") == "*" {
		refuse(w, http.StatusPreconditionFailed, "PreconditionFailed")
		return
	}
	f.objects[key] = kept{data, r.Header.Get("X-Amz-Meta-Sha256"), time.Now()}
	w.Header().Set("ETag", fmt.Sprintf(`"%x"`, md5.Sum(data)))
}

func (f *fake) get(w http.ResponseWriter, r *http.Request, key string) {
	f.mu.Lock()
	o, found := f.objects[key]
	f.mu.Unlock()
	if !found {
		refuse(w, http.StatusNotFound, "NoSuchKey")
		return
	}
	w.Header().Set("X-Amz-Meta-Sha256", o.digest)
	if r.Header.Get("Range") != "" && len(o.data) == 0 {
		refuse(w, http.StatusRequestedRangeNotSatisfiable, "InvalidRange")
		return
	}
	http.ServeContent(w, r, "", o.modified, bytes.NewReader(o.data))
}

func (f *fake) list(w http.ResponseWriter, r *http.Request) {
	type entry struct {
		Key          string
		Size         int
		LastModified string
	}
	type result struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		IsTruncated           bool
		NextContinuationToken string `xml:",omitempty"`
		Contents              []entry
	}
	q := r.URL.Query()
	after := max(q.Get("start-after"), q.Get("continuation-token"))
	f.mu.Lock()
	var page result
	for key, o := range f.objects {
		if strings.HasPrefix(key, q.Get("prefix")) && key > after {
			page.Contents = append(page.Contents, entry{key, len(o.data), o.modified.UTC().Format(time.RFC3339)})
		}
	}
	f.mu.Unlock()
	slices.SortFunc(page.Contents, func(a, b entry) int { return strings.Compare(a.Key, b.Key) })
	if len(page.Contents) > pageSize {
		page.Contents = page.Contents[:pageSize]
		page.IsTruncated, page.NextContinuationToken = true, page.Contents[pageSize-1].Key
	}
	if err := xml.NewEncoder(w).Encode(page); err != nil {
		f.t.Error(err)
	}
}

// cutAfter answers with the true answer cut after some bytes of its body, the connection then closed.
func cutAfter(size int) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		connection, buffer, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer connection.Close()
		fmt.Fprintf(buffer, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", len(large))
		buffer.Write(large[:size])
		buffer.Flush()
	}
}

// resetAfter reads some bytes of a request's body and closes the connection.
func resetAfter(size int) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		io.CopyN(io.Discard, r.Body, int64(size))
		if connection, _, err := w.(http.Hijacker).Hijack(); err == nil {
			connection.Close()
		}
	}
}

// status answers with an error of S3.
func status(status int, code string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("X-Amz-Request-Id", strconv.Itoa(status))
		refuse(w, status, code)
	}
}

var large = bytes.Repeat([]byte("0123456789abcdef"), 6400) // 100 KiB
