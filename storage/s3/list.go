package s3

import (
	"context"
	"iter"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"pitr"
	"pitr/storage"
)

// List implements storage.Store. It holds the store to its order: a page that goes back could hide that another was left out.
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[storage.Object, error] {
	return func(yield func(storage.Object, error) bool) {
		in := &s3.ListObjectsV2Input{Bucket: &s.bucket, Prefix: s.key(prefix)}
		if after != "" {
			in.StartAfter = s.key(after)
		}
		for {
			page, err := s.page(ctx, in)
			if err != nil {
				yield(storage.Object{}, err)
				return
			}
			for _, o := range page.Contents {
				name, err := s.next(o, prefix, after)
				if err != nil {
					yield(storage.Object{}, err)
					return
				}
				if folderMarker(o) {
					continue
				}
				if !yield(storage.Object{Name: name, Size: aws.ToInt64(o.Size), Modified: aws.ToTime(o.LastModified)}, nil) {
					return
				}
				after = name
			}
			if !aws.ToBool(page.IsTruncated) {
				return
			}
			in.ContinuationToken = page.NextContinuationToken
		}
	}
}

func (s *Store) page(ctx context.Context, in *s3.ListObjectsV2Input) (page *s3.ListObjectsV2Output, err error) {
	name := strings.TrimPrefix(aws.ToString(in.Prefix), s.prefix)
	if err := storage.Ended(ctx, "list", name); err != nil {
		return nil, err
	}
	err = s.call(ctx, "list", name, func() (err error) {
		page, err = s.client.ListObjectsV2(ctx, in)
		return err
	})
	if err == nil && aws.ToBool(page.IsTruncated) && aws.ToString(page.NextContinuationToken) == "" {
		return nil, storage.Transient(pitr.Errorf(pitr.KindUnavailable, "list "+name, "",
			"the store promised another page and gave no way to it"))
	}
	return page, err
}

// next gives the name of an object that follows after in a listing of prefix.
func (s *Store) next(o types.Object, prefix, after string) (string, error) {
	name, ours := strings.CutPrefix(aws.ToString(o.Key), s.prefix)
	if !ours || !strings.HasPrefix(name, prefix) || name <= after {
		return "", storage.Transient(pitr.Errorf(pitr.KindUnavailable, "list "+prefix, "",
			"the store lists %q after %q: out of order", name, after))
	}
	return name, nil
}

// folderMarker reports whether an object is what consoles make to show an empty folder.
func folderMarker(o types.Object) bool {
	return strings.HasSuffix(aws.ToString(o.Key), "/") && aws.ToInt64(o.Size) == 0
}
