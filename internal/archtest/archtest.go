// Package archtest holds the walls of DESIGN.md: which way imports point, what a nested module may lean on, what the
// smallest packages may cost, and that every package says what it is for and keeps no state.
//
// It parses the files itself instead of asking go list, so that it sees every module of the tree at once, whatever the
// build constraints, and so that the test cache knows which files the answer came from. It promises nothing about
// code that does not parse but an error.
package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// module is the path of the root module. A nested module's path is this and its folder.
const module = "github.com/mainstay-go/mainstay"

// root names the root package's folder in the floor table, where a path has none.
const root = "mainstay"

// floors says on which floor each top-level folder is. A folder imports lower floors and itself.
var floors = map[string]int{
	"tracing": 0, "metrics": 0, "internal": 0,
	"auth": 1, "resilience": 1,
	"transport": 2, "pubsub": 2,
	root: 3, "sqlx": 3, "catalog": 3,
	"examples": 4, "benchmarks": 4, "scripts": 4,
}

// top is the floor of programs, which are free in what they link and what state they keep.
const top = 4

// onlyFrom lists folders that few packages of a higher floor may import.
var onlyFrom = []struct {
	from, to string   // top-level folders
	packages []string // those of from that may
}{
	{"sqlx", "pubsub", []string{"sqlx/outbox", "sqlx/inbox", "sqlx/saga", "sqlx/pgxsqlx"}},
	{"sqlx", "transport", []string{"sqlx/idempotency"}},
}

// costs lists packages that import the standard library only, and what else they may.
var costs = map[string][]string{
	"auth":                nil,
	"auth/mtls":           nil,
	"transport":           nil,
	"tracing/correlation": {"github.com/google/uuid"},
}

// confined lists imports (by prefix) that only some packages may have, beside tests and programs.
var confined = []struct {
	prefix   string
	packages []string
}{
	{"go.opentelemetry.io/otel/sdk", []string{"tracing", "tracing/otlp"}},
	{"os/signal", []string{root}},
}

// pkg is one folder with Go files.
type pkg struct {
	dir       string // from the module root, root for the root package itself
	module    string // folder of the module it is in, "." for the root module
	commented bool
}

// folder is the top-level folder, the unit of the floor table.
func (p pkg) folder() string { return folderOf(p.dir) }

func folderOf(dir string) string {
	first, _, _ := strings.Cut(dir, "/")
	return first
}

// isTest reports whether p exists for tests only, by the naming rule: httpapitest, pubsubtest.
func (p pkg) isTest() bool { return strings.HasSuffix(p.dir, "test") }

// Check walks the tree at fsys, the root of the repository, and returns what is wrong with it, one line each.
func Check(fsys fs.FS) ([]string, error) {
	c := &checker{fsys: fsys, fset: token.NewFileSet(), modules: []string{"."}}
	if err := c.findModules(); err != nil {
		return nil, fmt.Errorf("archtest: %w", err)
	}
	if err := c.walk(); err != nil {
		return nil, fmt.Errorf("archtest: %w", err)
	}
	return c.wrong, nil
}

type checker struct {
	fsys    fs.FS
	fset    *token.FileSet
	modules []string
	wrong   []string
}

func (c *checker) findModules() error {
	return fs.WalkDir(c.fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && ignored(name) {
			return fs.SkipDir
		}
		if d.Name() == "go.mod" && path.Dir(name) != "." {
			c.modules = append(c.modules, path.Dir(name))
		}
		return nil
	})
}

// ignored reports whether the go command would not look into the folder either.
func ignored(name string) bool {
	base := path.Base(name)
	return name != "." && (strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata")
}

// moduleOf returns the folder of the innermost module around dir.
func (c *checker) moduleOf(dir string) string {
	in := "."
	for _, m := range c.modules { // in the order of the walk, outer before inner
		if hasPathPrefix(dir, m) {
			in = m
		}
	}
	return in
}

func (c *checker) walk() error {
	return fs.WalkDir(c.fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case !d.IsDir():
			return nil
		case ignored(name):
			return fs.SkipDir
		}
		return c.checkDir(name)
	})
}

// checkDir checks the package in dir, if there is one.
func (c *checker) checkDir(dir string) error {
	names, err := fs.Glob(c.fsys, path.Join(dir, "*.go"))
	if err != nil || len(names) == 0 {
		return err
	}
	p := pkg{dir: dir, module: c.moduleOf(dir)}
	if dir == "." {
		p.dir = root
	}
	if _, known := floors[p.folder()]; !known {
		c.report(dir, "folder %s is on no floor: give it one in internal/archtest and DESIGN.md", p.folder())
		return nil
	}
	for _, name := range names {
		src, err := fs.ReadFile(c.fsys, name)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(c.fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		test := isTestFile(name)
		// Where a folder has nothing but tests, one of them may carry the comment.
		if !test || !slices.ContainsFunc(names, func(n string) bool { return !isTestFile(n) }) {
			p.commented = p.commented || isPackageComment(f)
		}
		c.checkImports(p, f, test)
		if !test {
			c.checkState(p, f)
		}
	}
	if !p.commented {
		c.report(dir, "package has no comment")
	}
	return nil
}

func isTestFile(name string) bool { return strings.HasSuffix(name, "_test.go") }

// isPackageComment reports whether f says what its package is, as go.dev/doc/comment wants it begun.
func isPackageComment(f *ast.File) bool {
	text := f.Doc.Text()
	if f.Name.Name == "main" && strings.HasPrefix(text, "Command ") {
		return true
	}
	return strings.HasPrefix(text, "Package "+f.Name.Name+" ")
}

func (c *checker) checkImports(p pkg, f *ast.File, test bool) {
	for _, spec := range f.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue // the parser has seen to it
		}
		at := c.fset.Position(spec.Pos()).String()
		to, ours := strings.CutPrefix(imported, module)
		switch {
		case imported == module:
			c.checkArrow(at, p, root, test)
		case ours && strings.HasPrefix(to, "/"):
			c.checkArrow(at, p, to[1:], test)
		}
		if test || floors[p.folder()] == top {
			continue
		}
		c.checkCost(at, p, imported)
	}
}

// checkArrow checks an import of one of our own packages.
func (c *checker) checkArrow(at string, p pkg, to string, test bool) {
	from, folder := p.folder(), folderOf(to)
	floor, known := floors[folder]
	switch {
	case !known:
		c.report(at, "%s imports %s, whose folder is on no floor", p.dir, to)
	case from != folder && floor > floors[from]:
		c.report(at, "%s imports %s: points up, from floor %d to floor %d", p.dir, to, floors[from], floor)
	case from != folder && floor == floors[from]:
		c.report(at, "%s imports %s: points sideways, both folders are on floor %d", p.dir, to, floor)
	}
	if m := c.moduleOf(to); m != p.module && slices.Contains(strings.Split(to, "/"), "internal") {
		c.report(at, "%s imports %s: a module never imports internal of another", p.dir, to)
	}
	if test || p.isTest() || floors[from] == top {
		return
	}
	if folder == "auth" && from != "auth" && to != "auth" {
		c.report(at, "%s imports %s: only package auth, the contract, is imported from above", p.dir, to)
	}
	for _, rule := range onlyFrom {
		if from == rule.from && folder == rule.to && !within(p.dir, rule.packages) {
			c.report(at, "%s imports %s: in %s only %s may", p.dir, to, from, strings.Join(rule.packages, ", "))
		}
	}
}

// checkCost checks any import against what p may cost its users.
func (c *checker) checkCost(at string, p pkg, imported string) {
	allowed, small := costs[p.dir]
	if small && !isStandard(imported) && !slices.Contains(allowed, imported) {
		c.report(at, "%s imports %s: it may import the standard library only, or one of %q", p.dir, imported, allowed)
	}
	for _, rule := range confined {
		if hasPathPrefix(imported, rule.prefix) && !p.isTest() && !slices.Contains(rule.packages, p.dir) {
			c.report(at, "%s imports %s: only %s may, and tests", p.dir, imported, strings.Join(rule.packages, ", "))
		}
	}
}

// checkState reports init functions and exported variables that are no errors.
func (c *checker) checkState(p pkg, f *ast.File) {
	if floors[p.folder()] == top {
		return
	}
	for _, decl := range f.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil && d.Name.Name == "init" {
				c.report(c.fset.Position(d.Pos()).String(), "%s has an init function", p.dir)
			}
		case *ast.GenDecl:
			if d.Tok == token.VAR {
				c.checkVars(p, d)
			}
		}
	}
}

func (c *checker) checkVars(p pkg, d *ast.GenDecl) {
	for _, spec := range d.Specs {
		for _, name := range spec.(*ast.ValueSpec).Names {
			if name.IsExported() && !strings.HasPrefix(name.Name, "Err") {
				c.report(c.fset.Position(name.Pos()).String(),
					"%s.%s is an exported variable that is no error", p.dir, name.Name)
			}
		}
	}
}

func (c *checker) report(at, format string, args ...any) {
	c.wrong = append(c.wrong, at+": "+fmt.Sprintf(format, args...))
}

// within reports whether dir is one of dirs or below one.
func within(dir string, dirs []string) bool {
	return slices.ContainsFunc(dirs, func(d string) bool { return hasPathPrefix(dir, d) })
}

func hasPathPrefix(p, prefix string) bool {
	return p == prefix || strings.HasPrefix(p, prefix+"/")
}

// isStandard reports whether an import path is of the standard library: its first element has no dot.
func isStandard(imported string) bool {
	return !strings.Contains(folderOf(imported), ".")
}
