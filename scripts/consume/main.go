// Command consume gets one package at a time, as a stranger would, and fails over what it costs.
//
// It packs every module of this checkout (what git tracks, as it is in the work tree) into a module proxy in a temporary
// folder, with the modules' requirements of one another at the packed version and their replace lines gone. Then, for
// each package of the budget, a new module outside the tree gets that package from there, builds a small program with
// it, tidies, and counts the modules that its go.mod lists. It exits with 1 when a package does not arrive, does not
// build, or costs more modules than its budget.
//
//	go run ./scripts/consume                       # all of the budget
//	go run ./scripts/consume metrics sqlx/outbox   # these only
//
// The go command's own module cache is read but not written to, so that no packed version is left in it.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/modfile"
)

// timeout bounds the whole run. Most of it is unpacking and building dependencies.
const timeout = 15 * time.Minute

func main() {
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := run(ctx, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "consume:", err)
		os.Exit(1) //nolint:gocritic // nothing that cancel would end is left
	}
}

// run consumes the packages named, all of the budget where none is.
func run(ctx context.Context, only []string) (err error) {
	work, err := os.MkdirTemp("", "mainstay-consume-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	root, err := output(ctx, ".", nil, "git", "rev-parse", "--show-toplevel")
	if err != nil {
		return err
	}
	packed, err := pack(ctx, root, filepath.Join(work, "proxy"))
	if err != nil {
		return err
	}
	fmt.Printf("packed %d modules at %s\n\n%-24s %8s %8s\n", packed, version, "package", "modules", "budget")
	env, err := environment(ctx, work)
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range budget {
		if len(only) > 0 && !slices.Contains(only, p.path) {
			continue
		}
		if err := p.consume(ctx, work, env); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", p.path, err))
		}
	}
	return errors.Join(errs...)
}

// environment returns what the go command needs to see the packed modules first, and those of the world as usual.
func environment(ctx context.Context, work string) ([]string, error) {
	values, err := output(ctx, ".", nil, "go", "env", "GOMODCACHE", "GOPROXY")
	if err != nil {
		return nil, err
	}
	cache, proxy, ok := strings.Cut(values, "\n")
	if !ok {
		return nil, fmt.Errorf("go env: got %q, want two lines", values)
	}
	return append(os.Environ(),
		"GOWORK=off",
		"GOFLAGS=-mod=mod -modcacherw", // writable, so that the folder can be removed
		"GOMODCACHE="+filepath.Join(work, "cache"),
		// A module cache has the layout of a proxy: what is there already is not downloaded again.
		"GOPROXY="+fileURL(filepath.Join(work, "proxy"))+","+fileURL(filepath.Join(cache, "cache", "download"))+","+proxy,
		// Not GOPRIVATE, which would have the go command ask version control instead of the proxy.
		"GONOSUMDB="+owner,
		"GOPRIVATE=", "GONOPROXY=",
	), nil
}

func fileURL(path string) string { return "file://" + filepath.ToSlash(path) }

// consume gets p in a module of its own and prints what that cost.
func (p consumed) consume(ctx context.Context, work string, env []string) error {
	dir, err := os.MkdirTemp(work, "stranger-")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(p.program), 0o600); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"mod", "init", "example.com/stranger"},
		{"get", owner + "/mainstay/" + p.path + "@" + version},
		{"mod", "tidy"},
		{"vet", "."},
		{"build", "-o", os.DevNull, "."},
	} {
		if _, err := output(ctx, dir, env, "go", args...); err != nil {
			return err
		}
	}
	listed, err := requirements(filepath.Join(dir, "go.mod"))
	if err != nil {
		return err
	}
	fmt.Printf("%-24s %8d %8d\n", p.path, len(listed), p.modules)
	if len(listed) > p.modules {
		return fmt.Errorf("go.mod lists %d modules, the budget is %d:\n\t%s",
			len(listed), p.modules, strings.Join(listed, "\n\t"))
	}
	return nil
}

// requirements returns the paths of all modules that a go.mod lists, direct and indirect.
func requirements(path string) ([]string, error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	f, err := modfile.Parse(path, src, nil)
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, r := range f.Require {
		paths = append(paths, r.Mod.Path)
	}
	return paths, nil
}

// output runs a command in dir and returns what it printed, without the last newline. Nil env is that of this process.
func output(ctx context.Context, dir string, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, env
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSuffix(stdout.String(), "\n"), nil
}
