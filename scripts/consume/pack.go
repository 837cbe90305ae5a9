package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

const (
	// owner is what the paths of all our modules begin with.
	owner = "github.com/mainstay-go"
	// version is what every module is packed at.
	version = "v0.0.1-consume"
)

// packing is one module on its way into the proxy.
type packing struct {
	dir   string // folder from the root of the repository, "." for the root module
	mod   []byte // its go.mod as packed
	path  string // module path
	files []zip.File
}

// pack writes every module of the repository at root to a file system proxy at proxy, and returns how many there were.
func pack(ctx context.Context, root, proxy string) (int, error) {
	list, err := output(ctx, root, nil, "git", "ls-files", "-z")
	if err != nil {
		return 0, err
	}
	modules, err := split(root, strings.Split(strings.Trim(list, "\x00"), "\x00"))
	if err != nil {
		return 0, err
	}
	for _, m := range modules {
		if err := m.write(proxy); err != nil {
			return 0, fmt.Errorf("pack %s: %w", m.path, err)
		}
	}
	return len(modules), nil
}

// split sorts the files of a repository into the modules that they belong to.
func split(root string, names []string) (map[string]*packing, error) {
	modules := map[string]*packing{}
	for _, name := range names {
		if path.Base(name) != "go.mod" {
			continue
		}
		src, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			return nil, err
		}
		p := &packing{dir: path.Dir(name)}
		if p.path, p.mod, err = release(name, src); err != nil {
			return nil, err
		}
		modules[p.dir] = p
	}
	for _, name := range names {
		dir := path.Dir(name)
		for modules[dir] == nil && dir != "." {
			dir = path.Dir(dir)
		}
		m := modules[dir]
		if m == nil {
			return nil, fmt.Errorf("%s is in no module", name)
		}
		inModule := strings.TrimPrefix(name, strings.TrimPrefix(m.dir+"/", "./"))
		f := file{name: inModule, at: filepath.Join(root, filepath.FromSlash(name))}
		if f.name == "go.mod" {
			f.content = m.mod
		}
		if _, err := f.Lstat(); os.IsNotExist(err) {
			continue // tracked, and deleted in the work tree
		}
		m.files = append(m.files, f)
	}
	return modules, nil
}

// release returns a go.mod's module path, and its text as a release has it: our modules required at the packed version,
// and not replaced.
func release(name string, src []byte) (modulePath string, released []byte, err error) {
	f, err := modfile.Parse(name, src, nil)
	if err != nil {
		return "", nil, err
	}
	for _, r := range f.Require {
		if strings.HasPrefix(r.Mod.Path, owner+"/") {
			if err := f.AddRequire(r.Mod.Path, version); err != nil {
				return "", nil, err
			}
		}
	}
	for _, r := range f.Replace {
		if strings.HasPrefix(r.Old.Path, owner+"/") {
			if err := f.DropReplace(r.Old.Path, r.Old.Version); err != nil {
				return "", nil, err
			}
		}
	}
	f.Cleanup()
	released, err = f.Format()
	return f.Module.Mod.Path, released, err
}

// write adds m to the proxy: the four files that the go command asks for ("go help goproxy").
func (m *packing) write(proxy string) error {
	escaped, err := module.EscapePath(m.path)
	if err != nil {
		return err
	}
	dir := filepath.Join(proxy, filepath.FromSlash(escaped), "@v")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	info, err := json.Marshal(map[string]any{"Version": version, "Time": time.Now().UTC().Truncate(time.Second)})
	if err != nil {
		return err
	}
	var archive bytes.Buffer
	if err := zip.Create(&archive, module.Version{Path: m.path, Version: version}, m.files); err != nil {
		return err
	}
	for name, content := range map[string][]byte{
		"list": []byte(version + "\n"), version + ".info": info, version + ".mod": m.mod, version + ".zip": archive.Bytes(),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// file is a [zip.File]: one in the work tree, or in its place content that was changed on the way.
type file struct {
	name    string
	at      string
	content []byte
}

// Path returns the name in the archive.
func (f file) Path() string { return f.name }

// Lstat describes the file; one with content of its own has the size of that.
func (f file) Lstat() (os.FileInfo, error) {
	info, err := os.Lstat(f.at)
	if err == nil && f.content != nil {
		info = sized{info, int64(len(f.content))}
	}
	return info, err
}

// Open opens what goes into the archive.
func (f file) Open() (io.ReadCloser, error) {
	if f.content != nil {
		return io.NopCloser(bytes.NewReader(f.content)), nil
	}
	return os.Open(f.at)
}

type sized struct {
	os.FileInfo
	size int64
}

func (s sized) Size() int64 { return s.size }
