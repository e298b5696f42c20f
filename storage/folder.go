package storage

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"pitr"
)

// Folder is a store in a local folder: one file per object, folders for the slashes of its name.
//
// An object is written under a temporary name in the folder it will lie in, flushed, linked to its own name (which fails if
// that is taken), and the folder is flushed. Files have mode 0600, folders 0700. Nothing is followed that is not a plain file
// or folder: a symbolic link, pipe or device inside of the store is refused, wherever it points. Hidden files (".x") are not
// objects; temporary files that a crash left are removed a day later by the next Create or Delete beside them. Delete leaves
// empty folders behind.
//
// The file system must have hard links and flush folders; a network file system must give both across its clients.
type Folder struct {
	root    *os.Root
	sync    func(*os.File) error
	now     func() time.Time
	settled sync.Map // folders whose existence this process has flushed
	swept   sync.Map // folders where this process has looked for left-over temporary files
}

// FolderOptions changes how a folder keeps objects; the zero value is right for a repository.
type FolderOptions struct {
	// Sync flushes a file or folder to the disk, (*os.File).Sync by default. A store that need not survive a power cut,
	// such as the scratch folder of a dry run, can be given one that does nothing.
	Sync func(*os.File) error
	// Now is the clock that the age of left-over temporary files is measured with, time.Now by default.
	Now func() time.Time
}

var _ Store = (*Folder)(nil)

// CreateFolder makes the folder and the ones above it where they are missing, and opens it.
func CreateFolder(name string, o FolderOptions) (*Folder, error) {
	if err := o.makeFolder(filepath.Clean(name)); err != nil {
		return nil, folderError("make the folder", name, err)
	}
	return OpenFolder(name, o)
}

func (o FolderOptions) makeFolder(name string) error {
	above := filepath.Dir(name)
	err := os.Mkdir(name, 0o700)
	if errors.Is(err, fs.ErrNotExist) && above != name {
		if err := o.makeFolder(above); err != nil {
			return err
		}
		err = os.Mkdir(name, 0o700)
	}
	if errors.Is(err, fs.ErrExist) {
		return nil // a file in its place is found when it is opened
	}
	if err != nil {
		return err
	}
	d, err := os.Open(above)
	if err != nil {
		return err
	}
	return errors.Join(o.syncer()(d), d.Close())
}

func (o FolderOptions) syncer() func(*os.File) error {
	if o.Sync == nil {
		return (*os.File).Sync
	}
	return o.Sync
}

// OpenFolder opens a folder that exists. The path itself may lead through symbolic links.
func OpenFolder(name string, o FolderOptions) (*Folder, error) {
	root, err := os.OpenRoot(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, pitr.Errorf(pitr.KindNotFound, "open the folder "+name, "check the path; `pitr init` makes a new repository",
			"%w", err)
	}
	if err != nil {
		return nil, folderError("open the folder", name, err)
	}
	return &Folder{root: root, sync: o.syncer(), now: clock(o.Now)}, nil
}

// Close gives the folder's handle back; the store cannot be used afterwards.
func (f *Folder) Close() error { return f.root.Close() }

// Read implements Store.
func (f *Folder) Read(ctx context.Context, name string, offset, n int64) ([]byte, error) {
	if err := CheckCall(ctx, "read", name); err != nil {
		return nil, err
	}
	data, err := f.read(name, offset, n)
	if err != nil {
		return nil, folderError("read", name, err)
	}
	return data, Ended(ctx, "read", name)
}

func (f *Folder) read(name string, offset, n int64) (data []byte, err error) {
	if _, err := f.plain(name); err != nil {
		return nil, err
	}
	// Between the look and the open somebody may have planted a link or a pipe: follow no link, wait for no writer.
	file, err := f.root.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if err := refuseStrange(info); err != nil {
		return nil, err
	}
	if n, err = Span(name, info.Size(), offset, n); err != nil {
		return nil, err
	}
	data = make([]byte, n)
	if _, err := io.ReadFull(io.NewSectionReader(file, offset, n), data); err != nil {
		return nil, pitr.Corruptf("", "the file became shorter while it was read: %w", err)
	}
	return data, nil
}

// Stat implements Store.
func (f *Folder) Stat(ctx context.Context, name string) (Object, error) {
	if err := CheckCall(ctx, "stat", name); err != nil {
		return Object{}, err
	}
	info, err := f.plain(name)
	if err != nil {
		return Object{}, folderError("stat", name, err)
	}
	return Object{Name: name, Size: info.Size(), Modified: info.ModTime()}, nil
}

// Delete implements Store. The deletion survives a power cut: what was deleted before something else stays so.
func (f *Folder) Delete(ctx context.Context, name string) error {
	if err := CheckCall(ctx, "delete", name); err != nil {
		return err
	}
	if _, err := f.plain(name); err != nil {
		return folderError("delete", name, err)
	}
	if err := f.root.Remove(name); err != nil {
		return folderError("delete", name, err)
	}
	dir := path.Dir(name)
	f.sweep(dir)
	if err := f.flush(dir); err != nil {
		return folderError("delete", name, err)
	}
	return nil
}

// plain looks at an object without following anything: every part of the name above it must be a real folder and it must be a
// real file. os.Root alone would follow links that stay inside.
func (f *Folder) plain(name string) (fs.FileInfo, error) {
	if err := f.plainFolders(name); err != nil {
		return nil, err
	}
	info, err := f.root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, fs.ErrNotExist
	}
	return info, refuseStrange(info)
}

// plainFolders checks the folders above a name.
func (f *Folder) plainFolders(name string) error {
	for i := range len(name) {
		if name[i] != '/' {
			continue
		}
		info, err := f.root.Lstat(name[:i])
		switch {
		case err != nil:
			return err
		case info.Mode().IsRegular():
			return syscall.ENOTDIR
		case !info.IsDir():
			return refuseStrange(info)
		}
	}
	return nil
}

// refuseStrange lets a regular file pass and nothing else.
func refuseStrange(info fs.FileInfo) error {
	if info.Mode().IsRegular() {
		return nil
	}
	return pitr.Refusef("", "find out who put it there and take it away; move a repository only as a whole",
		"%s is a %s", info.Name(), describeMode(info.Mode()))
}

func describeMode(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeSymlink != 0:
		return "symbolic link"
	case mode&fs.ModeNamedPipe != 0:
		return "named pipe"
	case mode&fs.ModeSocket != 0:
		return "socket"
	case mode&fs.ModeDevice != 0:
		return "device"
	case mode.IsDir():
		return "folder"
	}
	return "special file"
}

// folderError gives a failure of the file system its kind.
func folderError(op, name string, err error) error {
	var known *pitr.Error
	switch {
	case errors.As(err, &known):
		return &pitr.Error{Op: op + " " + name, Err: err}
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return NotFound(op, name)
	}
	kind, hint := pitr.KindUnavailable, "look for disk errors in the system's log"
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		kind, hint = pitr.KindLimit, "make room there, then run the same command again"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		kind, hint = pitr.KindDenied, "run pitr as the owner of the repository's folder"
	}
	return pitr.Errorf(kind, op+" "+name, hint, "%w", err)
}
