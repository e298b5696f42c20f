package s3

import (
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"

	"pitr"
)

// Options says which bucket to use and how to reach it. Only Bucket is needed; what is empty comes from where the AWS tools
// take it: environment, shared files, instance role.
type Options struct {
	Bucket string
	// Prefix is put before every name, with a slash between; it may have any characters that S3 keys may have.
	Prefix string
	Region string
	// Endpoint is the URL of a store that is not AWS.
	Endpoint string
	// PathStyle puts the bucket into the path, where the names of the store's buckets are no host names.
	PathStyle bool
	// Profile names a section of the shared AWS files.
	Profile     string
	Credentials aws.CredentialsProvider
	// SingleWriter is for stores that do not know conditional writes: Create looks first and writes then, and two processes
	// that create the same name at once can lose one of the objects.
	SingleWriter bool
	// Stall is how long a request may go without a byte in either direction, 2 minutes by default.
	Stall time.Duration
	// Client sends the requests; the default follows no redirects and keeps 64 connections.
	Client Doer
}

// Doer sends a request, as *http.Client does.
type Doer interface {
	Do(*http.Request) (*http.Response, error)
}

const standardStall = 2 * time.Minute

// check refuses what cannot work or must not be, and never shows a part of the endpoint that may be secret.
func (o Options) check() error {
	const op = "open the bucket"
	switch {
	case o.Bucket == "" || strings.ContainsAny(o.Bucket, "/?#@ "):
		return pitr.Errorf(pitr.KindInvalid, op, "write s3://BUCKET/PREFIX", "%q is no name of a bucket", o.Bucket)
	case !utf8.ValidString(o.Prefix) || strings.ContainsFunc(o.Prefix, unicode.IsControl):
		return pitr.Errorf(pitr.KindInvalid, op, "choose another prefix", "the prefix %q has control characters", o.Prefix)
	}
	for part := range strings.SplitSeq(strings.Trim(o.Prefix, "/"), "/") {
		if part == "." || part == ".." || part == "" && o.Prefix != "" {
			return pitr.Errorf(pitr.KindInvalid, op, "choose another prefix", "the prefix %q has the part %q", o.Prefix, part)
		}
	}
	return checkEndpoint(o.Endpoint)
}

func checkEndpoint(endpoint string) error {
	const op = "open the bucket"
	if endpoint == "" {
		return nil
	}
	u, err := url.Parse(endpoint)
	switch {
	case err != nil:
		// Also the reason can quote a password.
		return pitr.Errorf(pitr.KindInvalid, op, "write it as https://HOST or https://HOST:PORT", "the endpoint is no URL")
	case u.User != nil:
		return pitr.Errorf(pitr.KindInvalid, op,
			"take them out; give AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment, or a profile",
			"the endpoint %s://***@%s has credentials in it", u.Scheme, u.Host)
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "", u.RawQuery != "", u.Fragment != "":
		return pitr.Errorf(pitr.KindInvalid, op, "write it as https://HOST or https://HOST:PORT",
			"the endpoint must be a plain http or https URL")
	}
	return nil
}

// keyPrefix is what stands before every name.
func (o Options) keyPrefix() string {
	if p := strings.Trim(o.Prefix, "/"); p != "" {
		return p + "/"
	}
	return ""
}
