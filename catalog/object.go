package catalog

import (
	"context"

	"pitr/format"
)

// pointerTo is the pointer type through which a JSON object of a repository is read.
type pointerTo[T any] interface {
	*T
	format.Object
}

// ReadObject reads a JSON object; bytes that do not fit are read again before they count as damage.
func ReadObject[T any, P pointerTo[T]](ctx context.Context, r *Repository, name format.Name) (T, error) {
	var object T
	err := r.insist(ctx, name, func() error {
		data, err := r.Get(ctx, name)
		if err != nil {
			return err
		}
		var decoded T
		if err := format.DecodeJSON(name, data, P(&decoded)); err != nil {
			return err
		}
		object = decoded
		return nil
	})
	return object, err
}

// PutObject stores a JSON object under the name that it gives itself, and reads it back. What makes data visible (a
// manifest, changes.json) is put after the data.
func (r *Repository) PutObject(ctx context.Context, object format.Object) (format.Name, error) {
	sealed, err := format.EncodeJSON(object)
	if err != nil {
		return format.Name{}, err
	}
	return sealed.Name, r.PutAndRead(ctx, sealed.Name, sealed.Data)
}
