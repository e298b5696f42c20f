package s3_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"pitr"
	"pitr/storage"
	"pitr/storage/s3"
	"pitr/storage/storagetest"
)

func TestContract(t *testing.T) {
	f := newFake(t)
	parts := 0
	storagetest.Run(t, func(t *testing.T) storage.Store {
		parts++
		return f.open(t, func(o *s3.Options) { o.Prefix = fmt.Sprintf("part %d+ü%%2F", parts) }) // case S19
	})
}

func TestSingleWriter(t *testing.T) { // case S14
	s := newFake(t).open(t, func(o *s3.Options) { o.SingleWriter = true })
	if err := s.Create(t.Context(), "a", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := s.Create(t.Context(), "a", []byte("y")); !errors.Is(err, storage.ErrExists) {
		t.Errorf("%v, want ErrExists", err)
	}
}

func TestDigestComesBack(t *testing.T) {
	s := newFake(t).open(t, nil)
	if err := s.Create(t.Context(), "a", large); err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(large)
	if o, err := s.Stat(t.Context(), "a"); err != nil || o.SHA256 != hex.EncodeToString(digest[:]) {
		t.Errorf("%+v, %v", o, err)
	}
}

// Over https, too, the digest of the body is in the signature: the fake compares it with the body.
func TestSignsBodyOverTLS(t *testing.T) {
	f := newFake(t)
	secure := httptest.NewTLSServer(f)
	defer secure.Close()
	s := f.open(t, func(o *s3.Options) { o.Endpoint, o.Client = secure.URL, secure.Client() })
	for name, data := range map[string][]byte{"a": large, "empty": nil} {
		if err := s.Create(t.Context(), name, data); err != nil {
			t.Error(err)
		}
		if got, err := s.Read(t.Context(), name, 0, -1); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	}
}

func retrying(s storage.Store) storage.Store {
	return storage.Retry(s, storage.RetryOptions{First: time.Millisecond, Longest: 4 * time.Millisecond, Budget: 10 * time.Second})
}

// cases S01, S02, S03, S06: passing answers are marked as such, and Retry gets over them.
func TestPassingAnswers(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string
	}{
		{503, "SlowDown"}, {503, ""}, {500, "InternalError"}, {502, ""}, {504, ""}, {429, "TooManyRequests"}, {408, ""},
		{400, "RequestTimeout"}, {409, "ConditionalRequestConflict"}, {409, "OperationAborted"}, {400, "BadDigest"}, {599, ""},
	} {
		t.Run(fmt.Sprint(c.status, c.code), func(t *testing.T) {
			answer := status(c.status, c.code)
			s := newFake(t, fault{http.MethodPut, "/a", 1, answer}, fault{http.MethodPut, "/b", 10, answer}).open(t, nil)
			err := s.Create(t.Context(), "a", []byte("x"))
			if !storage.IsTransient(err) || pitr.KindOf(err) != pitr.KindUnavailable {
				t.Errorf("%v is not marked as passing", err)
			}
			if err := retrying(s).Create(t.Context(), "b", []byte("x")); err != nil {
				t.Error(err)
			}
		})
	}
}

// cases S03, S04, S05, S06, S17: answers that stay are not repeated, have their kind, and say what to do.
func TestFinalAnswers(t *testing.T) {
	for _, c := range []struct {
		status     int
		code       string
		kind       pitr.Kind
		text, hint string
	}{
		{403, "AccessDenied", pitr.KindDenied, "AccessDenied", "s3:PutObject"},
		{403, "InvalidAccessKeyId", pitr.KindDenied, "InvalidAccessKeyId", "keys"},
		{403, "SignatureDoesNotMatch", pitr.KindDenied, "SignatureDoesNotMatch", "keys"},
		{403, "RequestTimeTooSkewed", pitr.KindDenied, "RequestTimeTooSkewed", "clock"},
		{403, "KMS.DisabledException", pitr.KindDenied, "KMS", "rights"},
		{401, "", pitr.KindDenied, "401", "keys"},
		{404, "NoSuchBucket", pitr.KindNotFound, "no bucket bucket in region eu-test-1", "bucket"},
		{301, "PermanentRedirect", pitr.KindNotFound, "bucket is in region eu-central-7, not eu-test-1", "eu-central-7"},
		{400, "AuthorizationHeaderMalformed", pitr.KindNotFound, "eu-central-7", "eu-central-7"},
		{412, "PreconditionFailed", pitr.KindConflict, "exists", ""},
		{501, "NotImplemented", pitr.KindUnsupported, "NotImplemented", "--single-writer"},
		{400, "EntityTooLarge", pitr.KindLimit, "EntityTooLarge", "64 MiB"},
		{507, "", pitr.KindLimit, "507", "room"},
		{404, "XAdminUserNotFound", pitr.KindDenied, "XAdminUserNotFound", "keys"},
		{404, "NoSuchKey", pitr.KindUnavailable, "NoSuchKey", "endpoint"}, // as the answer to a create it makes no sense
		{400, "Nonsense", pitr.KindUnavailable, "Nonsense", "endpoint"},
	} {
		t.Run(fmt.Sprint(c.status, c.code), func(t *testing.T) {
			f := newFake(t, fault{http.MethodPut, "", 1, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Amz-Bucket-Region", "eu-central-7")
				status(c.status, c.code)(w, r)
			}})
			err := retrying(f.open(t, nil)).Create(t.Context(), "a", []byte("x"))
			if pitr.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.text) || !strings.Contains(pitr.HintOf(err), c.hint) {
				t.Errorf("kind %q, %v, hint %q", pitr.KindOf(err), err, pitr.HintOf(err))
			}
			if len(f.log) != 1 {
				t.Errorf("%d requests, want 1: %q", len(f.log), f.log)
			}
		})
	}
}

// case S05: a bucket that does not exist is no empty repository.
func TestNoBucket(t *testing.T) {
	s := newFake(t).open(t, func(o *s3.Options) { o.Bucket = "other" })
	_, err := s.Read(t.Context(), "pitr.json", 0, -1)
	if pitr.KindOf(err) != pitr.KindNotFound || errors.Is(err, storage.ErrNotFound) {
		t.Errorf("%v", err)
	}
	for _, err := range s.List(t.Context(), "", "") {
		if pitr.KindOf(err) != pitr.KindNotFound {
			t.Errorf("%v", err)
		}
	}
}

// purse gives other credentials each time.
type purse struct{ given atomic.Int32 }

func (p *purse) Retrieve(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: fmt.Sprintf("key%d", p.given.Add(1)), SecretAccessKey: "secret"}, nil
}

// case S04: expired credentials are fetched anew once.
func TestExpiredCredentials(t *testing.T) {
	var keys []string
	expire := func(w http.ResponseWriter, r *http.Request) {
		keys = append(keys, strings.Split(strings.SplitAfter(r.Header.Get("Authorization"), "Credential=")[1], "/")[0])
		status(400, "ExpiredToken")(w, r)
	}
	var p purse
	f := newFake(t, fault{http.MethodPut, "/a", 1, expire}, fault{http.MethodPut, "/b", 2, expire})
	s := f.open(t, func(o *s3.Options) { o.Credentials = &p })
	if err := s.Create(t.Context(), "a", []byte("x")); err != nil {
		t.Errorf("fresh credentials did not help: %v", err)
	}
	err := s.Create(t.Context(), "b", []byte("x"))
	if pitr.KindOf(err) != pitr.KindDenied || storage.IsTransient(err) {
		t.Errorf("%v, want denied", err)
	}
	if got := fmt.Sprint(keys); got != "[key1 key2 key3]" {
		t.Errorf("keys %s that expired, want one fetch after each", got)
	}
}

// case S07: the store keeps the object and the answer is lost.
func TestLostAnswer(t *testing.T) {
	var f *fake
	f = newFake(t, fault{http.MethodPut, "/a", 1, func(w http.ResponseWriter, r *http.Request) {
		f.put(httptest.NewRecorder(), r, strings.TrimPrefix(r.URL.Path, "/bucket/"))
		resetAfter(0)(w, r)
	}})
	s := retrying(f.open(t, nil))
	if err := s.Create(t.Context(), "a", []byte("mine")); err != nil {
		t.Error(err)
	}
	if len(f.objects) != 1 {
		t.Errorf("%d objects, want one", len(f.objects))
	}
}

// case S08: the connection breaks at each per cent of an upload and of a download.
func TestBrokenConnection(t *testing.T) {
	var script []fault
	for i := range 100 {
		script = append(script, fault{http.MethodPut, fmt.Sprintf("/up/%d", i), 1, resetAfter(len(large) * i / 100)},
			fault{http.MethodGet, fmt.Sprintf("/up/%d", i), 1, cutAfter(len(large) * i / 100)})
	}
	s := retrying(newFake(t, script...).open(t, nil))
	for i := range 100 {
		name := fmt.Sprintf("up/%d", i)
		if err := s.Create(t.Context(), name, large); err != nil {
			t.Fatalf("upload cut at %d %%: %v", i, err)
		}
		if data, err := s.Read(t.Context(), name, 0, -1); err != nil || !bytes.Equal(data, large) {
			t.Fatalf("download cut at %d %%: %d bytes, %v", i, len(data), err)
		}
	}
}

// case S09: no byte moves, at each stage of a request. The watchdog cuts it and the repeat succeeds.
func TestStall(t *testing.T) {
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	halfway := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(large)))
		w.Write(large[:1000])
		w.(http.Flusher).Flush()
		hang(w, r)
	}
	read := func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		hang(w, r)
	}
	f := newFake(t, fault{http.MethodPut, "/a", 1, read}, fault{http.MethodPut, "/big", 1, hang},
		fault{http.MethodGet, "/a", 1, halfway}, fault{http.MethodHead, "/a", 1, hang})
	s := f.open(t, func(o *s3.Options) { o.Stall = 300 * time.Millisecond })
	r := retrying(s)
	if err := s.Create(t.Context(), "a", large); !storage.IsTransient(err) || !strings.Contains(err.Error(), "no byte moved") {
		t.Errorf("%v, want a passing error that says why", err)
	}
	if err := r.Create(t.Context(), "a", large); err != nil {
		t.Error(err)
	}
	if err := r.Create(t.Context(), "big", make([]byte, 32<<20)); err != nil {
		t.Error(err)
	}
	if data, err := r.Read(t.Context(), "a", 0, -1); err != nil || !bytes.Equal(data, large) {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	if o, err := r.Stat(t.Context(), "a"); err != nil || int(o.Size) != len(large) {
		t.Errorf("%+v, %v", o, err)
	}
}

// case S10: slow is not stalled, however long it takes in all.
func TestSlowDrip(t *testing.T) {
	const stall = time.Second
	f := newFake(t, fault{http.MethodGet, "/a", 1, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "30")
		for i := range 30 {
			w.Write([]byte{byte(i)})
			w.(http.Flusher).Flush()
			time.Sleep(stall / 20)
		}
	}})
	s := f.open(t, func(o *s3.Options) { o.Stall = stall })
	if data, err := s.Read(t.Context(), "a", 0, -1); err != nil || len(data) != 30 {
		t.Errorf("%d bytes, %v", len(data), err)
	}
}

// case S11: a body that is shorter than announced, or a range that is not the one asked for, is never passed on.
func TestWrongLength(t *testing.T) {
	answer := func(status int, header http.Header, body []byte) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) {
			for name, values := range header {
				w.Header()[name] = values
			}
			w.WriteHeader(status)
			w.Write(body)
		}
	}
	partial := func(span string, body []byte) func(http.ResponseWriter, *http.Request) {
		return answer(http.StatusPartialContent, http.Header{"Content-Range": {span}}, body)
	}
	for _, c := range []struct {
		name      string
		offset, n int64
		act       func(http.ResponseWriter, *http.Request)
		kind      pitr.Kind
		transient bool
	}{
		{"cut", 0, -1, cutAfter(500), pitr.KindUnavailable, true},
		{"range cut", 10, 20, partial("bytes 10-29/100", large[:19]), pitr.KindUnavailable, true},
		{"range too long", 10, 20, partial("bytes 10-29/100", large[:21]), pitr.KindUnavailable, true},
		{"another range", 10, 20, partial("bytes 11-30/100", large[:20]), pitr.KindUnsupported, false},
		{"range ignored", 10, 20, answer(http.StatusOK, nil, large[:100]), pitr.KindUnsupported, false},
		{"range from 0 ignored", 0, 20, answer(http.StatusOK, nil, large[:100]), pitr.KindUnsupported, false},
		{"object shorter than the range", 10, 20, partial("bytes 10-24/25", large[:15]), pitr.KindCorrupt, false},
		{"object too large", 0, -1, answer(http.StatusOK, http.Header{"Content-Length": {"99999999999"}}, nil),
			pitr.KindCorrupt, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newFake(t, fault{http.MethodGet, "/a", 1, c.act}).open(t, nil)
			data, err := s.Read(t.Context(), "a", c.offset, c.n)
			if pitr.KindOf(err) != c.kind || storage.IsTransient(err) != c.transient || len(data) > 0 && err == nil {
				t.Errorf("%d bytes, kind %q, %v", len(data), pitr.KindOf(err), err)
			}
		})
	}
}

// case S13: a listing that goes back, repeats itself or loses its thread is an error, and Retry goes on from the last good name.
func TestListOutOfOrder(t *testing.T) {
	page := func(rest string, keys ...string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, "<ListBucketResult>%s", rest)
			for _, key := range keys {
				fmt.Fprintf(w, "<Contents><Key>%s</Key><Size>1</Size></Contents>", key)
			}
			fmt.Fprint(w, "</ListBucketResult>")
		}
	}
	const more = "<IsTruncated>true</IsTruncated>"
	for name, act := range map[string]func(http.ResponseWriter, *http.Request){
		"goes back":      page("", "some/prefix/b", "some/prefix/a"),
		"repeats":        page("", "some/prefix/a", "some/prefix/a"),
		"another folder": page("", "other/prefix/a"),
		"no next page":   page(more, "some/prefix/a"),
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, fault{http.MethodGet, "", 1, act})
			s := f.open(t, nil)
			for _, name := range []string{"a", "b", "c"} {
				if err := s.Create(t.Context(), name, []byte("x")); err != nil {
					t.Fatal(err)
				}
			}
			var last error
			var names string
			for o, err := range s.List(t.Context(), "", "") {
				names, last = names+o.Name, err
			}
			if !storage.IsTransient(last) {
				t.Errorf("listed %q without an error", names)
			}
			f.faults[0].times = 1
			names = ""
			for o, err := range retrying(s).List(t.Context(), "", "") {
				if err != nil {
					t.Error(err)
				}
				names += o.Name
			}
			if want := map[string]string{"goes back": "bc"}[name]; names != "abc" && names != want {
				t.Errorf("listed %q", names)
			}
		})
	}
}

// case S18: failures on the way say what to look at, and only those that may pass are repeated.
func TestUnreachable(t *testing.T) {
	closed := httptest.NewServer(nil)
	closed.Close()
	secure := httptest.NewUnstartedServer(nil)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	for _, c := range []struct {
		name, endpoint, hint string
		kind                 pitr.Kind
		transient            bool
	}{
		{"nobody listens", closed.URL, "connection", pitr.KindUnavailable, true},
		{"unknown authority", secure.URL, "AWS_CA_BUNDLE", pitr.KindDenied, false},
		{"unknown host", "http://host.invalid", "endpoint", pitr.KindUnavailable, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newFake(t).open(t, func(o *s3.Options) {
				o.Endpoint = c.endpoint
				if c.name == "unknown host" {
					o.Client = doer(func(r *http.Request) (*http.Response, error) {
						return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: r.URL.Host, IsNotFound: true}}
					})
				}
			})
			_, err := s.Stat(t.Context(), "a")
			if pitr.KindOf(err) != c.kind || storage.IsTransient(err) != c.transient || !strings.Contains(pitr.HintOf(err), c.hint) {
				t.Errorf("kind %q, %v, hint %q", pitr.KindOf(err), err, pitr.HintOf(err))
			}
		})
	}
}

type doer func(*http.Request) (*http.Response, error)

func (d doer) Do(r *http.Request) (*http.Response, error) { return d(r) }

// case S20, X03: options that cannot work are refused, and no secret of theirs is shown.
func TestOptions(t *testing.T) {
	const secret = "canary"
	for _, o := range []s3.Options{
		{Endpoint: "https://user:" + secret + "@host"}, {Endpoint: "https://" + secret + "@host"}, {Endpoint: "https://host:" + secret},
		{Endpoint: "https://user:" + secret + " x@host"}, {Endpoint: "https://host/?key=" + secret}, {Endpoint: "ftp://host"},
		{Endpoint: secret}, {Prefix: "a/../b"}, {Prefix: "a//b"}, {Prefix: "a\nb"}, {Prefix: "a\xff"}, {Prefix: "."},
		{Bucket: "a/b"}, {Bucket: "user:pass@b"},
	} {
		if o.Bucket == "" {
			o.Bucket = "bucket"
		}
		_, err := s3.Open(t.Context(), o)
		if pitr.KindOf(err) != pitr.KindInvalid || pitr.HintOf(err) == "" {
			t.Errorf("%+v: %v, hint %q", o, err, pitr.HintOf(err))
		}
		if strings.Contains(err.Error()+pitr.HintOf(err), secret) {
			t.Errorf("%v shows the secret", err)
		}
	}
}

// case S04: nobody gives credentials.
func TestNoCredentials(t *testing.T) {
	_, err := s3.Open(t.Context(), s3.Options{Bucket: "bucket", Credentials: aws.CredentialsProviderFunc(
		func(context.Context) (aws.Credentials, error) { return aws.Credentials{}, errors.New("no role here") })})
	if pitr.KindOf(err) != pitr.KindDenied || !strings.Contains(pitr.HintOf(err), "AWS_ACCESS_KEY_ID") {
		t.Errorf("%v, hint %q", err, pitr.HintOf(err))
	}
}

// BenchmarkCreate is the client's own cost of a create: digest, checksum, signature, request; the body goes nowhere.
func BenchmarkCreate(b *testing.B) {
	for _, size := range []int{64 << 10, 16 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			s, err := s3.Open(b.Context(), s3.Options{Bucket: "bucket", Region: "eu-test-1",
				Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
					return aws.Credentials{AccessKeyID: "key", SecretAccessKey: "secret"}, nil
				}),
				Client: doer(func(r *http.Request) (*http.Response, error) {
					_, err := io.Copy(io.Discard, r.Body)
					return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: r}, err
				})})
			if err != nil {
				b.Fatal(err)
			}
			data := bytes.Repeat([]byte("0123456789abcdef"), size/16)
			b.SetBytes(int64(size))
			for b.Loop() {
				if err := s.Create(b.Context(), "snapshots/x/data-000001.bson.zst", data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
