package storage

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strings"
)

// List implements Store. It reads a folder's entries when it comes to the folder, and passes over folders that hold nothing of
// the range.
func (f *Folder) List(ctx context.Context, prefix, after string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		w := folderWalk{folder: f, prefix: prefix, after: after, yield: yield}
		w.walk(ctx, "")
	}
}

type folderWalk struct {
	folder        *Folder
	prefix, after string
	yield         func(Object, error) bool
}

// walk yields what lies in a folder, given as "" or with its slash at the end; it reports whether to go on.
func (w *folderWalk) walk(ctx context.Context, dir string) bool {
	if err := Ended(ctx, "list", dir); err != nil {
		w.yield(Object{}, err)
		return false
	}
	entries, err := fs.ReadDir(w.folder.root.FS(), path.Clean(dir))
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) && dir != "" {
			return true // deleted since its name was read
		}
		return w.fail(dir, err)
	}
	// The order of a folder's entries is not that of the objects: "a-b" comes before "a/b", and that before "a0".
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(orderName(a), orderName(b)) })
	for _, e := range entries {
		name := dir + orderName(e)
		switch {
		case hidden(e.Name()) || !w.wants(name, e):
			continue
		case e.IsDir():
			if !w.walk(ctx, name) {
				return false
			}
		case !w.file(ctx, name, e):
			return false
		}
	}
	return true
}

// wants reports whether a file, or something below a folder, can be in the range. What is neither may stand in a folder's
// place and hide a part of the range.
func (w *folderWalk) wants(name string, e fs.DirEntry) bool {
	if e.Type().IsRegular() {
		return strings.HasPrefix(name, w.prefix) && name > w.after
	}
	inPrefix := strings.HasPrefix(name, w.prefix) || strings.HasPrefix(w.prefix, name)
	return inPrefix && (name > w.after || strings.HasPrefix(w.after, name))
}

func (w *folderWalk) file(ctx context.Context, name string, e fs.DirEntry) bool {
	if err := Ended(ctx, "list", name); err != nil {
		w.yield(Object{}, err)
		return false
	}
	info, err := e.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	if err == nil {
		err = refuseStrange(info)
	}
	if err != nil {
		return w.fail(name, err)
	}
	return w.yield(Object{Name: name, Size: info.Size(), Modified: info.ModTime()}, nil)
}

func (w *folderWalk) fail(name string, err error) bool {
	w.yield(Object{}, folderError("list", name, err))
	return false
}

// orderName is the part of a name that an entry stands for, with the slash that follows where it is a folder.
func orderName(e fs.DirEntry) string {
	if e.IsDir() {
		return e.Name() + "/"
	}
	return e.Name()
}

// hidden reports whether an entry belongs to the system or to a write under way.
func hidden(entry string) bool {
	return entry[0] == '.' || entry == "lost+found"
}
