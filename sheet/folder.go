package sheet

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path"
	"slices"

	"pitr"
)

// Folder is the place of an export. Nothing that is written through it can end up outside: the system follows no link on the
// way. It was empty before, so that nothing is replaced either.
type Folder struct {
	root *os.Root
	path string
	// own says that the folder itself was made by this run.
	own     bool
	folders []string
	files   []string
	parts   int
}

const opFolder = "open the folder for the export"

// CreateFolder makes a folder, or takes one that is there and empty. A link in its place is refused. // case X08
func CreateFolder(name string) (*Folder, error) {
	const hint = "name a folder that does not exist yet"
	f := &Folder{path: name}
	before, err := os.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.Mkdir(name, 0o700); err != nil {
			return nil, pitr.Errorf(pitr.KindInvalid, opFolder, "make the folder above it first", "%w", err)
		}
		f.own = true
		if before, err = os.Lstat(name); err != nil {
			return nil, pitr.Errorf(pitr.KindInvalid, opFolder, hint, "%w", err)
		}
	case err != nil:
		return nil, pitr.Errorf(pitr.KindInvalid, opFolder, hint, "%w", err)
	}
	if !before.IsDir() {
		return nil, pitr.Refusef(opFolder, hint, "%s is no folder", name)
	}
	if f.root, err = os.OpenRoot(name); err != nil {
		return nil, pitr.Errorf(pitr.KindInvalid, opFolder, hint, "%w", err)
	}
	opened, err := f.root.Stat(".")
	if err == nil && !os.SameFile(before, opened) {
		err = pitr.Refusef(opFolder, hint, "%s was changed while it was opened", name)
	}
	if err == nil {
		err = f.isEmpty()
	}
	if err != nil {
		_ = f.root.Close() // the error that stopped us says more
		return nil, err
	}
	return f, nil
}

func (f *Folder) isEmpty() error {
	entries, err := fs.ReadDir(f.root.FS(), ".")
	if err != nil {
		return pitr.Errorf(pitr.KindInvalid, opFolder, "name another folder", "%w", err)
	}
	if len(entries) > 0 {
		return pitr.Refusef(opFolder, "name a folder that does not exist yet, or an empty one", "%s holds %q already", f.path, entries[0].Name())
	}
	return nil
}

// File is a file of an export on its way: it has its name from Commit on.
type File struct {
	folder     *Folder
	file       *os.File
	out        *bufio.Writer
	sum        hash.Hash
	part, name string
	size       int64
}

// Create begins a file in a folder below, or in the folder itself where that is empty.
func (f *Folder) Create(below, base string) (*File, error) {
	if err := f.makeFolder(below); err != nil {
		return nil, err
	}
	f.parts++
	file := &File{folder: f, part: path.Join(below, fmt.Sprintf(".pitr-part-%d", f.parts)), name: path.Join(below, base), sum: sha256.New()}
	var err error
	if file.file, err = f.root.OpenFile(file.part, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600); err != nil {
		return nil, pitr.Errorf(pitr.KindLimit, "make "+file.name, "check the folder and its free space", "%w", err)
	}
	f.files = append(f.files, file.part)
	file.out = bufio.NewWriterSize(file.file, 256<<10)
	return file, nil
}

func (f *Folder) makeFolder(below string) error {
	if below == "" || slices.Contains(f.folders, below) {
		return nil
	}
	if err := f.root.Mkdir(below, 0o700); err != nil {
		return pitr.Errorf(pitr.KindConflict, "make the folder "+below, "export into a folder on another file system, or one database at a time with --only",
			"%w", err)
	}
	f.folders = append(f.folders, below)
	return nil
}

// Write adds to the file.
func (f *File) Write(content []byte) (int, error) {
	f.sum.Write(content)
	f.size += int64(len(content))
	return f.out.Write(content)
}

// Commit gives the file its name; its size and sha256 are those of what was written.
func (f *File) Commit() (Written, error) {
	err := f.out.Flush()
	if err == nil {
		err = f.file.Sync()
	}
	if closeErr := f.file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return Written{}, pitr.Errorf(pitr.KindLimit, "write "+f.name, "check the free space", "%w", err)
	}
	// Two names that the server tells apart may be one to a file system that does not regard case.
	if _, err := f.folder.root.Lstat(f.name); err == nil {
		return Written{}, pitr.Errorf(pitr.KindConflict, "write "+f.name, "export into a folder on another file system, or choose with --only and --except",
			"this file system has a file of that name already")
	}
	if err := f.folder.root.Rename(f.part, f.name); err != nil {
		return Written{}, pitr.Errorf(pitr.KindLimit, "write "+f.name, "check the folder", "%w", err)
	}
	f.folder.files = append(f.folder.files, f.name)
	return Written{Name: f.name, Bytes: f.size, SHA256: hex.EncodeToString(f.sum.Sum(nil))}, nil
}

// Written is a file that is whole.
type Written struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Close lets go of the folder and keeps what is in it.
func (f *Folder) Close() error { return f.root.Close() }

// Discard removes what this run made: an export that failed leaves nothing that could be taken for a whole one.
func (f *Folder) Discard() {
	for _, name := range slices.Backward(f.files) {
		_ = f.root.Remove(name) // a file that has its name now is gone under the other one
	}
	for _, name := range slices.Backward(f.folders) {
		_ = f.root.Remove(name) // what somebody else put there stays, and so does the folder
	}
	_ = f.root.Close()
	if f.own {
		_ = os.Remove(f.path)
	}
}
