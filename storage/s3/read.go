package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"pitr"
	"pitr/storage"
)

// Read implements storage.Store. It is one request, except where S3 has no way to ask for no byte at all.
func (s *Store) Read(ctx context.Context, name string, offset, n int64) (data []byte, err error) {
	if err := storage.CheckCall(ctx, "read", name); err != nil {
		return nil, err
	}
	if n == 0 || offset < 0 || offset > storage.MaxObject || n > storage.MaxObject {
		return s.readNothing(ctx, name, offset, n)
	}
	err = s.call(ctx, "read", name, func() (err error) {
		data, err = s.get(ctx, name, offset, n)
		return err
	})
	if response, ok := errors.AsType[*awshttp.ResponseError](err); ok &&
		response.HTTPStatusCode() == http.StatusRequestedRangeNotSatisfiable {
		return s.readNothing(ctx, name, offset, n) // at the end of an object there are no bytes, and that is no error
	}
	return data, err
}

// readNothing answers ranges that have no byte or cannot lie in any object.
func (s *Store) readNothing(ctx context.Context, name string, offset, n int64) ([]byte, error) {
	o, err := s.Stat(ctx, name)
	if err != nil {
		return nil, err
	}
	n, err = storage.Span(name, o.Size, offset, n)
	if err != nil {
		return nil, err
	}
	if n > 0 {
		return nil, storage.Transient(pitr.Errorf(pitr.KindUnavailable, "read "+name, "", "the store did not give a range that it has"))
	}
	return []byte{}, nil
}

// get reads the body whole and trusts no length that the store did not also send.
func (s *Store) get(ctx context.Context, name string, offset, n int64) (data []byte, err error) {
	in := &s3.GetObjectInput{Bucket: &s.bucket, Key: s.key(name)}
	switch {
	case n > 0:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-%d", offset, offset+n-1))
	case offset > 0:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-", offset))
	}
	out, err := s.client.GetObject(ctx, in)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, out.Body.Close()) }()
	size, err := wholeSize(in, out, offset)
	if err != nil {
		return nil, pitr.Errorf(pitr.KindUnsupported, "read "+name, "choose another store", "%w", err)
	}
	if n, err = storage.Span(name, size, offset, n); err != nil {
		return nil, err
	}
	if length := aws.ToInt64(out.ContentLength); length != n {
		return nil, fmt.Errorf("%w: the store announced %d bytes of the %d asked for", io.ErrUnexpectedEOF, length, n)
	}
	data = make([]byte, n)
	_, err = io.ReadFull(out.Body, data)
	return data, err
}

// wholeSize gives the size of the whole object that an answer speaks of.
func wholeSize(in *s3.GetObjectInput, out *s3.GetObjectOutput, offset int64) (int64, error) {
	if in.Range == nil {
		if out.ContentLength == nil {
			return 0, errors.New("the store does not tell the length of an object")
		}
		return *out.ContentLength, nil
	}
	var first, last, size int64
	answer := aws.ToString(out.ContentRange)
	if _, err := fmt.Sscanf(answer, "bytes %d-%d/%d", &first, &last, &size); err != nil || first != offset {
		return 0, fmt.Errorf("asked for %s, the store answered with the range %q", *in.Range, answer)
	}
	return size, nil
}
