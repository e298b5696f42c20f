package tests

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"pitr"
	"pitr/storage"
	"pitr/storage/s3"
	"pitr/storage/storagetest"
)

// gateway is a running S3 server that nobody of this project wrote: it checks signatures, conditions and checksums.
type gateway struct {
	endpoint string
	root     string // a folder in it is a bucket
}

func findGateway(t *testing.T) string {
	t.Helper()
	const name = "versitygw-v1.8.0/versitygw"
	path := os.Getenv("PITR_TEST_VERSITYGW")
	if path == "" {
		cache := os.Getenv("PITR_TEST_CACHE")
		if cache == "" {
			cache = filepath.Join("..", ".cache")
		}
		path = filepath.Join(cache, filepath.FromSlash(name))
	}
	if _, err := os.Stat(path); err != nil {
		t.Skipf("no S3 server: run `make deps`, or set PITR_TEST_VERSITYGW (%v)", err)
	}
	return path
}

func startGateway(t *testing.T) gateway {
	t.Helper()
	g := gateway{root: t.TempDir()}
	bin := findGateway(t)
	if err := os.Mkdir(filepath.Join(g.root, "bucket"), 0o700); err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	var output bytes.Buffer
	server := exec.Command(bin, "--port", address, "--access", "key", "--secret", "secret", "--region", "eu-test-1", "--quiet",
		"posix", "--sidecar", t.TempDir(), g.root)
	server.Stdout, server.Stderr = &output, &output
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }()
	t.Cleanup(func() {
		_ = server.Process.Kill() // it may have ended by itself; what it said is shown below
		<-ended
		if t.Failed() {
			t.Logf("the S3 server said:\n%s", output.String())
		}
	})
	g.endpoint = "http://" + address
	for range 200 {
		connection, err := net.Dial("tcp", address)
		if err == nil {
			if err := connection.Close(); err != nil {
				t.Error(err)
			}
			return g
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("the S3 server does not listen on %s", address)
	return g
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return address
}

func (g gateway) open(t *testing.T, change func(*s3.Options)) *s3.Store {
	t.Helper()
	o := s3.Options{
		Bucket: "bucket", Region: "eu-test-1", Endpoint: g.endpoint, PathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider("key", "secret", ""),
	}
	change(&o)
	s, err := s3.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestS3Contract runs the conformance suite against a real server. cases S12, S19
func TestS3Contract(t *testing.T) {
	g := startGateway(t)
	parts := 0
	storagetest.Run(t, func(t *testing.T) storage.Store {
		parts++
		return g.open(t, func(o *s3.Options) { o.Prefix = fmt.Sprintf("part %d+ü%%2F/repository", parts) })
	})
}

func TestS3Probe(t *testing.T) {
	s := startGateway(t).open(t, func(o *s3.Options) { o.Prefix = "probed" })
	result, err := storage.Probe(t.Context(), s, storage.ProbeOptions{})
	want := storage.ProbeResult{CreatesOnce: true, ReadsAfterCreate: true, Lists: true, Deletes: true, KeepsDigest: true}
	if err != nil || result != want {
		t.Errorf("%+v, %v", result, err)
	}
}

// cases S04, S05: what a server really answers to wrong keys, a wrong region and a missing bucket.
func TestS3Refusals(t *testing.T) {
	g := startGateway(t)
	for _, c := range []struct {
		name   string
		change func(*s3.Options)
		kind   pitr.Kind
		text   string
	}{
		{"unknown key", func(o *s3.Options) { o.Credentials = credentials.NewStaticCredentialsProvider("other", "secret", "") },
			pitr.KindDenied, "XAdminUserNotFound"},
		{"wrong secret", func(o *s3.Options) { o.Credentials = credentials.NewStaticCredentialsProvider("key", "canary", "") },
			pitr.KindDenied, "SignatureDoesNotMatch"},
		{"wrong region", func(o *s3.Options) { o.Region = "us-east-1" }, pitr.KindNotFound, "us-east-1"},
		{"no bucket", func(o *s3.Options) { o.Bucket = "missing" }, pitr.KindNotFound, "missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := g.open(t, c.change)
			_, readErr := s.Read(t.Context(), "pitr.json", 0, -1)
			var listErr error
			for _, err := range s.List(t.Context(), "", "") {
				listErr = err
			}
			for op, err := range map[string]error{"create": s.Create(t.Context(), "a", []byte("x")), "read": readErr, "list": listErr} {
				if pitr.KindOf(err) != c.kind || errors.Is(err, storage.ErrNotFound) || storage.IsTransient(err) {
					t.Errorf("%s: kind %q, %v", op, pitr.KindOf(err), err)
				}
				if err != nil && (!strings.Contains(err.Error(), c.text) || strings.Contains(err.Error(), "canary")) {
					t.Errorf("%s: %v, want it to say %q and no secret", op, err, c.text)
				}
			}
		})
	}
}
