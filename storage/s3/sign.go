package s3

import (
	"context"
	"encoding/hex"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"
)

// signed has a request signed with a digest of its body that is known already. The SDK would leave the body out of the
// signature over https and read it once more over http.
func signed(digest [32]byte) func(*s3.Options) {
	step := middleware.InitializeMiddlewareFunc("pitr:PayloadDigest",
		func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (
			middleware.InitializeOutput, middleware.Metadata, error,
		) {
			return next.HandleInitialize(v4.SetPayloadHash(ctx, hex.EncodeToString(digest[:])), in)
		})
	return s3.WithAPIOptions(func(stack *middleware.Stack) error { return stack.Initialize.Add(step, middleware.Before) })
}

// wallet keeps credentials until they expire or the store says that they have. It marks the failures of whoever gives them, so
// that they are not taken for the store's.
type wallet struct {
	*aws.CredentialsCache
	source aws.CredentialsProvider
}

func newWallet(source aws.CredentialsProvider) *wallet {
	return &wallet{aws.NewCredentialsCache(aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
		c, err := source.Retrieve(ctx)
		if err != nil {
			return c, &noCredentials{err}
		}
		return c, nil
	})), source}
}

// Invalidate makes the next request fetch credentials.
func (w *wallet) Invalidate() {
	if inner, ok := w.source.(*aws.CredentialsCache); ok {
		inner.Invalidate()
	}
	w.CredentialsCache.Invalidate()
}

type noCredentials struct{ error }

func (e *noCredentials) Unwrap() error { return e.error }
