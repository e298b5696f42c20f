package s3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"pitr"
	"pitr/storage"
)

// verdict is what an answer of the store means.
type verdict struct {
	kind  pitr.Kind
	retry retrial
	hint  string
}

type retrial int

const (
	never   retrial = iota
	again           // the same request may succeed
	slowing         // and everybody should come less often
)

const (
	rightsHint = "check the keys and their rights: s3:ListBucket, s3:GetObject, s3:PutObject, and s3:DeleteObject for prune"
	freshHint  = "log in again or give fresh credentials, then run the same command again"
	clockHint  = "set the clock of this machine (timedatectl set-ntp true), then run the same command again"
)

// codes says what the error codes of S3 mean; what is not here is judged by its status.
var codes = map[string]verdict{
	"RequestTimeTooSkewed":       {kind: pitr.KindDenied, hint: clockHint},
	"RequestExpired":             {kind: pitr.KindDenied, hint: clockHint},
	"ExpiredToken":               {kind: pitr.KindDenied, hint: freshHint},
	"ExpiredTokenException":      {kind: pitr.KindDenied, hint: freshHint},
	"TokenRefreshRequired":       {kind: pitr.KindDenied, hint: freshHint},
	"RequestTimeout":             {kind: pitr.KindUnavailable, retry: again},
	"RequestTimeoutException":    {kind: pitr.KindUnavailable, retry: again},
	"IncompleteBody":             {kind: pitr.KindUnavailable, retry: again},
	"BadDigest":                  {kind: pitr.KindUnavailable, retry: again},
	"XAmzContentSHA256Mismatch":  {kind: pitr.KindUnavailable, retry: again},
	"ConditionalRequestConflict": {kind: pitr.KindUnavailable, retry: again},
	"OperationAborted":           {kind: pitr.KindUnavailable, retry: again},
	"SlowDown":                   {kind: pitr.KindUnavailable, retry: slowing},
	"SlowDownRead":               {kind: pitr.KindUnavailable, retry: slowing},
	"SlowDownWrite":              {kind: pitr.KindUnavailable, retry: slowing},
	"Throttling":                 {kind: pitr.KindUnavailable, retry: slowing},
	"ThrottlingException":        {kind: pitr.KindUnavailable, retry: slowing},
	"RequestLimitExceeded":       {kind: pitr.KindUnavailable, retry: slowing},
	"EntityTooLarge":             {kind: pitr.KindLimit, hint: "raise the store's limit for one object to 64 MiB"},
	"QuotaExceeded":              {kind: pitr.KindLimit, hint: "raise the quota of the bucket, then run the same command again"},
	"XMinioStorageFull":          {kind: pitr.KindLimit, hint: "make room in the store, then run the same command again"},
	"XAdminUserNotFound":         {kind: pitr.KindDenied, hint: rightsHint}, // versitygw, with status 404
	"NotImplemented":             {kind: pitr.KindUnsupported, hint: "choose another store, or `--single-writer` if it lacks conditional writes"},
}

// statuses says what the status of an answer means where its code is not known.
var statuses = map[int]verdict{
	http.StatusUnauthorized:        {kind: pitr.KindDenied, hint: rightsHint},
	http.StatusForbidden:           {kind: pitr.KindDenied, hint: rightsHint},
	http.StatusRequestTimeout:      {kind: pitr.KindUnavailable, retry: again},
	http.StatusConflict:            {kind: pitr.KindUnavailable, retry: again},
	http.StatusTooManyRequests:     {kind: pitr.KindUnavailable, retry: slowing},
	http.StatusInternalServerError: {kind: pitr.KindUnavailable, retry: again},
	http.StatusNotImplemented:      codes["NotImplemented"],
	http.StatusBadGateway:          {kind: pitr.KindUnavailable, retry: again},
	http.StatusServiceUnavailable:  {kind: pitr.KindUnavailable, retry: slowing},
	http.StatusGatewayTimeout:      {kind: pitr.KindUnavailable, retry: again},
	http.StatusInsufficientStorage: codes["XMinioStorageFull"],
}

// explain gives the failure of a request its kind, its hint, and the mark for those worth repeating.
func (s *Store) explain(ctx context.Context, op, name string, err error) error {
	if err == nil {
		return nil
	}
	if ended := storage.Ended(ctx, op, name); ended != nil {
		return ended
	}
	what := strings.TrimSpace(op + " " + name)
	if known, ok := errors.AsType[*pitr.Error](err); ok {
		return known // it was made while an answer was read
	}
	var v verdict
	if response, ok := errors.AsType[*awshttp.ResponseError](err); ok && response.Response != nil && response.HTTPStatusCode() != 0 {
		if special := s.special(response, op, name); special != nil {
			return special
		}
		v = judge(response.HTTPStatusCode(), code(err))
	} else {
		v = judgeTransport(err)
	}
	err = pitr.Errorf(v.kind, what, v.hint, "%w", brief(err))
	switch v.retry {
	case again:
		return storage.Transient(err)
	case slowing:
		return storage.SlowDown(err)
	}
	return err
}

// noObject has the codes with which stores say that there is no object; other answers with status 404 mean other things.
var noObject = map[string]bool{"": true, "NoSuchKey": true, "NotFound": true}

// special are the answers that mean something else than their code or status alone.
func (s *Store) special(response *awshttp.ResponseError, op, name string) error {
	status, code := response.HTTPStatusCode(), code(response)
	switch {
	case code == "NoSuchBucket":
		return pitr.Errorf(pitr.KindNotFound, op+" "+name, "check the name of the bucket and the endpoint",
			"no bucket %s in region %s", s.bucket, s.region)
	case status == http.StatusMovedPermanently, status == http.StatusTemporaryRedirect, code == "AuthorizationHeaderMalformed",
		code == "IllegalLocationConstraintException":
		return s.elsewhere(response, op, name)
	case status == http.StatusNotFound && op != "create" && op != "list" && noObject[code]:
		return storage.NotFound(op, name)
	case status == http.StatusPreconditionFailed && op == "create":
		return storage.Exists(name)
	}
	return nil
}

// elsewhere is the error of a bucket that another region has.
func (s *Store) elsewhere(response *awshttp.ResponseError, op, name string) error {
	region := response.Response.Header.Get("X-Amz-Bucket-Region")
	if region == "" {
		return pitr.Errorf(pitr.KindNotFound, op+" "+name, "give the region of the bucket",
			"the store does not take region %s for bucket %s: %w", s.region, s.bucket, brief(response))
	}
	return pitr.Errorf(pitr.KindNotFound, op+" "+name, fmt.Sprintf("give the region: %s", region),
		"bucket %s is in region %s, not %s", s.bucket, region, s.region)
}

// briefly is an error of the SDK in words for a person; the SDK's own name the operation three times.
type briefly struct {
	error
	text string
}

func (b briefly) Error() string { return b.text }
func (b briefly) Unwrap() error { return b.error }

func brief(err error) error {
	if send, ok := errors.AsType[*smithyhttp.RequestSendError](err); ok {
		return briefly{err, send.Err.Error()}
	}
	response, ok := errors.AsType[*awshttp.ResponseError](err)
	if !ok || response.Response == nil {
		return err
	}
	text := fmt.Sprintf("the store answers %d", response.HTTPStatusCode())
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		text += fmt.Sprintf(" %s: %s", api.ErrorCode(), api.ErrorMessage())
	}
	if id := response.ServiceRequestID(); id != "" {
		text += fmt.Sprintf(" (request %s)", id)
	}
	return briefly{err, text}
}

func judge(status int, code string) verdict {
	if v, found := codes[code]; found {
		return v
	}
	if v, found := statuses[status]; found {
		return v
	}
	if status >= http.StatusInternalServerError {
		return verdict{kind: pitr.KindUnavailable, retry: again}
	}
	return verdict{kind: pitr.KindUnavailable, hint: "check the endpoint: is it S3?"}
}

// judgeTransport judges failures without an answer. What the name service or the certificate says will not pass in minutes;
// all else on the way may.
func judgeTransport(err error) verdict {
	if missing, ok := errors.AsType[*noCredentials](err); ok && !passing(missing) {
		return verdict{kind: pitr.KindDenied, hint: rightsHint}
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		return verdict{kind: pitr.KindUnavailable, hint: "check the endpoint and the region: their host has no address"}
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return verdict{kind: pitr.KindDenied,
			hint: "check the endpoint, the clock, and the authorities this machine trusts (AWS_CA_BUNDLE names a file with more)"}
	}
	if passing(err) {
		return verdict{kind: pitr.KindUnavailable, retry: again, hint: "check the connection to the store"}
	}
	return verdict{kind: pitr.KindUnavailable, hint: "check the endpoint and the connection to the store"}
}

// passing reports whether a failure on the way may be gone the next time.
func passing(err error) bool {
	for _, known := range []error{errStalled, io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.ECONNREFUSED, syscall.EPIPE,
		syscall.ECONNABORTED, syscall.ENETUNREACH, syscall.EHOSTUNREACH, net.ErrClosed} {
		if errors.Is(err, known) {
			return true
		}
	}
	network, ok := errors.AsType[net.Error](err)
	if ok && network.Timeout() {
		return true
	}
	_, ok = errors.AsType[*net.OpError](err)
	return ok
}

// expired reports whether the store says that the credentials were good once.
func expired(err error) bool {
	return codes[code(err)].hint == freshHint
}

func code(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return ""
}

func credentialError(op string, err error) error {
	return pitr.Errorf(pitr.KindDenied, op,
		"give AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment, a profile, or a role of the machine", "%w", err)
}
