package migrate

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// noTransaction is the first line of a migration that cannot run in a transaction.
const noTransaction = "-- migrate:no-transaction"

// migration is one file.
type migration struct {
	version  int64
	name     string
	sql      string
	checksum string
	inTx     bool
}

func (m migration) String() string { return fmt.Sprintf("%04d_%s", m.version, m.name) }

// readFiles returns the migrations at the top of fsys, in the order of their versions. Files that are not *.sql are
// none; a *.sql file with a name of another form is an error, since it would never be run.
func readFiles(fsys fs.FS) ([]migration, error) {
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	var ms []migration
	for _, e := range entries {
		if e.IsDir() || path.Ext(e.Name()) != ".sql" {
			continue
		}
		text, err := fs.ReadFile(fsys, e.Name())
		if err != nil {
			return nil, fmt.Errorf("migrate: %w", err)
		}
		m, err := parse(e.Name(), text)
		if err != nil {
			return nil, err
		}
		ms = append(ms, m)
	}
	slices.SortFunc(ms, func(a, b migration) int { return cmp.Compare(a.version, b.version) })
	for i := 1; i < len(ms); i++ {
		if ms[i].version == ms[i-1].version {
			return nil, fmt.Errorf("migrate: %v and %v have the same version", ms[i-1], ms[i])
		}
	}
	return ms, nil
}

// parse reads one file. Its checksum does not depend on how lines end: version control may change that.
func parse(file string, text []byte) (migration, error) {
	version, name, ok := strings.Cut(strings.TrimSuffix(file, ".sql"), "_")
	if !ok || !onlyHas(version, "0123456789") || !onlyHas(name, "abcdefghijklmnopqrstuvwxyz0123456789_") {
		return migration{}, fmt.Errorf(`migrate: file %q: want a name such as "0001_create_orders.sql"`, file)
	}
	v, err := strconv.ParseInt(version, 10, 64)
	if err != nil || v == 0 {
		return migration{}, fmt.Errorf("migrate: file %q: the version must be 1 or more, and fit 63 bits", file)
	}
	text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
	if len(bytes.TrimSpace(text)) == 0 {
		return migration{}, fmt.Errorf("migrate: file %q is empty", file)
	}
	sum := sha256.Sum256(text)
	first, _, _ := strings.Cut(string(text), "\n")
	return migration{
		version:  v,
		name:     name,
		sql:      string(text),
		checksum: hex.EncodeToString(sum[:]),
		inTx:     strings.TrimSpace(first) != noTransaction,
	}, nil
}

func onlyHas(s, set string) bool { return s != "" && strings.Trim(s, set) == "" }

// applied is what the database says of one migration.
type applied struct {
	version        int64
	name, checksum string
}

// plan returns what is to be run, or why nothing may be. Both lists are in the order of versions. newer says that the
// database has versions above all files.
func plan(files []migration, done []applied) (pending []migration, newer bool, err error) {
	known := make(map[int64]migration, len(files))
	var last int64
	for _, f := range files {
		known[f.version] = f
		last = f.version
	}
	var latest int64
	for _, d := range done {
		latest = d.version
		f, ok := known[d.version]
		switch {
		case !ok && d.version > last:
			newer = true
		case !ok:
			return nil, false, fmt.Errorf("migrate: %04d_%s was applied, and its file is missing", d.version, d.name)
		case f.checksum != d.checksum:
			return nil, false, fmt.Errorf("%w: %v", ErrChanged, f)
		}
		delete(known, d.version)
	}
	for _, f := range files {
		if _, ok := known[f.version]; !ok {
			continue
		}
		if f.version < latest && !newer {
			return nil, false, fmt.Errorf("migrate: %v comes before version %d, which was applied: give it a higher version",
				f, latest)
		}
		pending = append(pending, f)
	}
	if newer {
		return nil, true, nil
	}
	return pending, false, nil
}
