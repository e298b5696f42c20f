// Package s3 keeps objects in a bucket of S3 or of a store that speaks its protocol.
//
// Every object is one PutObject with If-None-Match, so that the store itself lets one creator win. The digest of the bytes is
// made once and used three times: it signs the request, so that the store checks what it receives; it lies beside the object as
// metadata; and it comes back from Stat. A CRC32C goes along for stores that keep checksums. The SDK computes nothing of its
// own.
//
// The client repeats nothing: whether an error may pass is marked for storage.Retry, which owns the budget. Two things are dealt
// with here because only this package can see them: a request that moves no byte is cut, and credentials that expired are
// fetched anew once.
//
// It does not create buckets, set life cycles or locks, or judge whether the store keeps its promises: storage.Probe does.
package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"

	"pitr/storage"
)

// digestKey is the metadata key of the digest: x-amz-meta-sha256.
const digestKey = "sha256"

// Store is a storage.Store in a bucket.
type Store struct {
	client *s3.Client
	wallet *wallet
	bucket string
	prefix string
	region string
	single bool
}

var _ storage.Store = (*Store)(nil)

// Open makes a store from options; it asks for credentials, but sends nothing to the bucket yet.
func Open(ctx context.Context, o Options) (*Store, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	loaded, err := load(ctx, o)
	if err != nil {
		return nil, err
	}
	w := newWallet(loaded.Credentials)
	if _, err := w.Retrieve(ctx); err != nil {
		return nil, credentialError("open the bucket "+o.Bucket, err)
	}
	if o.Stall == 0 {
		o.Stall = standardStall
	}
	loaded.HTTPClient = &watchdog{next: loaded.HTTPClient, limit: o.Stall}
	client := s3.NewFromConfig(loaded, func(c *s3.Options) {
		c.Credentials = w
		c.UsePathStyle = o.PathStyle
		c.Retryer = aws.NopRetryer{}
		c.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		c.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		c.DisableLogOutputChecksumValidationSkipped = true
		if o.Endpoint != "" {
			c.BaseEndpoint = aws.String(o.Endpoint)
		}
	})
	return &Store{client, w, o.Bucket, o.keyPrefix(), loaded.Region, o.SingleWriter}, nil
}

// load gathers what the options leave open.
func load(ctx context.Context, o Options) (aws.Config, error) {
	const connections = 64
	with := []func(*config.LoadOptions) error{
		config.WithLogger(logging.Nop{}),
		config.WithHTTPClient(awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
			t.MaxIdleConns, t.MaxIdleConnsPerHost = connections, connections
		})),
	}
	if o.Region != "" {
		with = append(with, config.WithRegion(o.Region))
	}
	if o.Profile != "" {
		with = append(with, config.WithSharedConfigProfile(o.Profile))
	}
	if o.Credentials != nil {
		with = append(with, config.WithCredentialsProvider(o.Credentials))
	}
	loaded, err := config.LoadDefaultConfig(ctx, with...)
	if err != nil {
		return loaded, credentialError("read the AWS settings", err)
	}
	if loaded.Region == "" {
		loaded.Region = "us-east-1" // look-alikes want one in the signature and take any; AWS answers with the right one
	}
	if o.Client != nil {
		loaded.HTTPClient = o.Client
	}
	return loaded, nil
}

// Create implements storage.Store.
func (s *Store) Create(ctx context.Context, name string, data []byte) error {
	if err := storage.CheckCreate(ctx, name, data); err != nil {
		return err
	}
	if s.single {
		if err := s.free(ctx, name); err != nil {
			return err
		}
	}
	digest := sha256.Sum256(data)
	put := &s3.PutObjectInput{
		Bucket:         &s.bucket,
		Key:            s.key(name),
		ContentLength:  aws.Int64(int64(len(data))),
		ChecksumCRC32C: aws.String(crc32c(data)),
		Metadata:       map[string]string{digestKey: hex.EncodeToString(digest[:])},
	}
	if !s.single {
		put.IfNoneMatch = aws.String("*")
	}
	return s.call(ctx, "create", name, func() error {
		put.Body = bytes.NewReader(data)
		_, err := s.client.PutObject(ctx, put, signed(digest))
		return err
	})
}

// free is what Create asks first where the store cannot be asked for both at once.
func (s *Store) free(ctx context.Context, name string) error {
	_, err := s.Stat(ctx, name)
	if errors.Is(err, storage.ErrNotFound) {
		return nil
	}
	if err == nil {
		return storage.Exists(name)
	}
	return err
}

func crc32c(data []byte) string {
	sum := crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum))
}

// Stat implements storage.Store.
func (s *Store) Stat(ctx context.Context, name string) (storage.Object, error) {
	if err := storage.CheckCall(ctx, "stat", name); err != nil {
		return storage.Object{}, err
	}
	var head *s3.HeadObjectOutput
	err := s.call(ctx, "stat", name, func() (err error) {
		head, err = s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.bucket, Key: s.key(name)})
		return err
	})
	if err != nil {
		return storage.Object{}, err
	}
	return storage.Object{
		Name:     name,
		Size:     aws.ToInt64(head.ContentLength),
		Modified: aws.ToTime(head.LastModified),
		SHA256:   head.Metadata[digestKey],
	}, nil
}

// Delete implements storage.Store. S3 does not say whether there was something to delete, so it is looked up first. In a bucket
// with versions the object's bytes stay, behind a marker.
func (s *Store) Delete(ctx context.Context, name string) error {
	if _, err := s.Stat(ctx, name); err != nil {
		return err
	}
	return s.call(ctx, "delete", name, func() error {
		_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.bucket, Key: s.key(name)})
		return err
	})
}

func (s *Store) key(name string) *string { return aws.String(s.prefix + name) }

// call makes a request, once more with fresh credentials if the store says that they expired, and gives an error its kind.
func (s *Store) call(ctx context.Context, op, name string, request func() error) error {
	err := request()
	if expired(err) {
		s.wallet.Invalidate()
		err = request()
	}
	return s.explain(ctx, op, name, err)
}
