package verify

import (
	"context"
	"fmt"

	"pitr"
	"pitr/format"
)

// where says which part of a data object is not what was written. The digest of the whole has told already that something is;
// this is for the person who looks at the store.
func (v *verifier) where(ctx context.Context, object loaded) string {
	data := object.data
	if data == nil {
		var err error
		if data, err = v.repository.Get(ctx, object.part.Name); err != nil {
			return ""
		}
	}
	if object.part.Name.Kind() == format.KindKeys {
		return whereInKeys(ctx, data, object.part)
	}
	container, err := format.OpenContainer(data, format.Expect{Name: object.part.Name, Directory: object.part.Directory}) //nolint:contextcheck // the bytes are in memory
	if err != nil {
		return "directory"
	}
	return whereInFrames(ctx, container)
}

func whereInFrames(ctx context.Context, container *format.Container) string {
	for i := range container.Frames() {
		if _, err := container.Read(ctx, i, nil); err != nil {
			return fmt.Sprintf("frame %d", i)
		}
	}
	return "content"
}

func whereInKeys(ctx context.Context, data []byte, part format.Part) string {
	read := func(_ context.Context, offset, n int64) ([]byte, error) {
		if offset+n > int64(len(data)) {
			return nil, pitr.Corruptf("", "too short")
		}
		return data[offset : offset+n], nil
	}
	keys, err := format.OpenKeys(ctx, read, format.Expect{Name: part.Name, Size: int64(len(data)), Directory: part.Directory})
	if err != nil {
		return "header"
	}
	for _, err := range keys.Entries(ctx) {
		if err != nil {
			return "entries"
		}
	}
	return "content"
}
