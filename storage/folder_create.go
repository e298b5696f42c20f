package storage

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
	"time"

	"pitr"
	"pitr/internal/failpoint"
)

// Temporary files have a name that CheckName refuses, so that they never meet an object.
const (
	temporaryPrefix = ".pitr-"
	temporarySuffix = ".tmp"
	temporaryAge    = 24 * time.Hour // older ones have no living writer
)

// Create implements Store.
func (f *Folder) Create(ctx context.Context, name string, data []byte) error {
	if err := CheckCreate(ctx, name, data); err != nil {
		return err
	}
	if err := f.prepare(name); err != nil {
		return createError(name, err)
	}
	dir := path.Dir(name)
	temporary := path.Join(dir, temporaryPrefix+rand.Text()+temporarySuffix)
	err := f.write(temporary, data)
	if err == nil {
		err = Ended(ctx, "create", name)
	}
	if err == nil {
		failpoint.Hit("folder.before-name")
		err = f.publish(temporary, name)
		failpoint.Hit("folder.after-name")
	}
	if removeErr := f.root.Remove(temporary); err == nil && removeErr != nil {
		err = removeErr
	}
	// Also a name that was taken is flushed: whoever linked it may not have come to that yet, and to our caller it is there.
	if err == nil || errors.Is(err, ErrExists) {
		if flushErr := f.flush(dir); flushErr != nil {
			return f.withdraw(name, err, flushErr)
		}
	}
	return createError(name, err)
}

// withdraw takes back a name whose folder could not be flushed. The kernel may report such a failure only once; if the name
// stayed, a repeated Create would find it there and take it for durable.
func (f *Folder) withdraw(name string, created, flushErr error) error {
	if created == nil {
		flushErr = errors.Join(flushErr, f.root.Remove(name))
	}
	return createError(name, flushErr)
}

// write makes the temporary file. After a failed flush the kernel may drop the bytes and call the next flush good, so the
// file is given up, never flushed again.
func (f *Folder) write(temporary string, data []byte) error {
	file, err := f.root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	if _, err := file.Write(data); err != nil {
		return errors.Join(err, file.Close())
	}
	if err := f.sync(file); err != nil {
		return errors.Join(err, file.Close())
	}
	return file.Close()
}

// publish links the temporary file to its name: the file system lets exactly one do that.
func (f *Folder) publish(temporary, name string) error {
	err := f.root.Link(temporary, name)
	switch {
	case errors.Is(err, fs.ErrExist):
		return f.taken(temporary, name)
	case errors.Is(err, syscall.ENOTSUP), errors.Is(err, syscall.ENOSYS), errors.Is(err, syscall.EPERM):
		return pitr.Errorf(pitr.KindUnsupported, "", "use a file system with hard links", "%w", err)
	}
	return err
}

// taken says what lies under the name.
func (f *Folder) taken(temporary, name string) error {
	there, err := f.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return Exists(name) // it was taken, and has been deleted since
	}
	if err != nil {
		return err
	}
	if there.IsDir() {
		return folderTaken(name)
	}
	if err := refuseStrange(there); err != nil {
		return err
	}
	// A network file system may repeat a link whose answer was lost, and then find its own.
	ours, err := f.root.Lstat(temporary)
	if err == nil && os.SameFile(ours, there) {
		return nil
	}
	return Exists(name)
}

// prepare sees to the folders above a name.
func (f *Folder) prepare(name string) error {
	if err := f.settle(path.Dir(name)); err != nil {
		return err
	}
	err := f.plainFolders(name)
	if errors.Is(err, fs.ErrNotExist) { // somebody tidied up empty folders
		f.settled.Clear()
		return f.settle(path.Dir(name))
	}
	return err
}

// settle makes a folder and those above it, and flushes each one's entry in the folder above.
func (f *Folder) settle(dir string) error {
	if dir == "." {
		return nil
	}
	if _, done := f.settled.Load(dir); done {
		return nil
	}
	above := path.Dir(dir)
	if err := f.settle(above); err != nil {
		return err
	}
	if err := f.root.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := f.flush(above); err != nil {
		return err
	}
	f.sweep(dir)
	f.settled.Store(dir, true)
	return nil
}

func (f *Folder) flush(dir string) error {
	d, err := f.root.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.sync(d), d.Close())
}

// sweep removes temporary files that no living process can own. It is housekeeping: what it cannot do now waits.
func (f *Folder) sweep(dir string) {
	if _, done := f.swept.LoadOrStore(dir, true); done {
		return
	}
	entries, err := fs.ReadDir(f.root.FS(), dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), temporaryPrefix) || !strings.HasSuffix(e.Name(), temporarySuffix) {
			continue
		}
		info, err := e.Info()
		if err == nil && f.now().Sub(info.ModTime()) > temporaryAge {
			_ = f.root.Remove(path.Join(dir, e.Name())) // it waits for the next sweep
		}
	}
}

func createError(name string, err error) error {
	switch {
	case err == nil, errors.Is(err, ErrExists):
		return err
	case errors.Is(err, syscall.ENOTDIR):
		return folderTaken(name)
	case errors.Is(err, fs.ErrNotExist):
		return pitr.Errorf(pitr.KindUnavailable, "create "+name, "check that the repository's folder is still there", "%w", err)
	}
	return folderError("create", name, err)
}
