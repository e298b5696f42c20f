package storagetest

import (
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// PowerCut remembers what of a folder would be left after a power cut: the bytes of a file as they were when the file was last
// flushed, under the names that its folder had when the folder was last flushed. All else is lost, as a disk may lose it.
//
// Give its Sync to storage.FolderOptions.
type PowerCut struct {
	root    string
	mu      sync.Mutex
	files   map[inode][]byte
	folders map[string]map[string]remains
	before  func()
}

// inode tells files apart; the time is for numbers that are used again.
type inode struct {
	number   uint64
	modified time.Time
}

type remains struct {
	folder bool
	data   []byte
}

// NewPowerCut watches a folder that is empty now.
func NewPowerCut(root string) *PowerCut {
	return &PowerCut{root: root, files: make(map[inode][]byte), folders: make(map[string]map[string]remains)}
}

// Before has something called ahead of each flush: the moments at which a cut loses most.
func (p *PowerCut) Before(act func()) { p.before = act }

// Sync takes note of a flush.
func (p *PowerCut) Sync(f *os.File) error {
	if p.before != nil {
		p.before()
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if info.IsDir() {
		return p.syncFolder(filepath.Clean(f.Name()))
	}
	data, err := os.ReadFile(f.Name())
	if err != nil {
		return err
	}
	p.files[identify(info)] = data
	return nil
}

func (p *PowerCut) syncFolder(name string) error {
	entries, err := os.ReadDir(name)
	if err != nil {
		return err
	}
	left := make(map[string]remains)
	for _, e := range entries {
		info, err := e.Info()
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return err
		}
		left[e.Name()] = remains{folder: e.IsDir(), data: p.files[identify(info)]}
	}
	p.folders[name] = left
	return nil
}

func identify(info fs.FileInfo) inode {
	return inode{info.Sys().(*syscall.Stat_t).Ino, info.ModTime()}
}

// Remains makes a new folder with what a cut at this moment leaves.
func (p *PowerCut) Remains(t *testing.T) string {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	dir := t.TempDir()
	if err := p.copyFolder(filepath.Clean(p.root), dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func (p *PowerCut) copyFolder(name, to string) error {
	for entry, left := range p.folders[name] {
		var err error
		if left.folder {
			if err = os.Mkdir(filepath.Join(to, entry), 0o700); err == nil {
				err = p.copyFolder(filepath.Join(name, entry), filepath.Join(to, entry))
			}
		} else {
			err = os.WriteFile(filepath.Join(to, entry), left.data, 0o600)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
