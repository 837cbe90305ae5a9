// Package examples_test holds the project's README to its word: each block of Go in it compiles.
package examples_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestReadme(t *testing.T) {
	if err := compile(t, filepath.Join("..", "README.md")); err != nil {
		t.Error(err)
	}
}

func TestCompile(t *testing.T) {
	const tour = "# Kit\n\n```go\nimport \"fmt\"\n\nfunc greet(name string) { fmt.Println(name) }\n```\n" +
		"\nMore.\n\n```go\nfunc all() { greet(%s) }\n```\n"
	const program = "\n```go\npackage main\n\nfunc main() { %s }\n```\n"
	for name, c := range map[string]struct {
		readme string
		want   string // in the error, "" for none
	}{
		"TakesTheBlocksOfTheTourTogether": {fmt.Sprintf(tour, `"Ada"`), ""},
		"TakesAProgramByItself":           {fmt.Sprintf(tour, `"Ada"`) + fmt.Sprintf(program, `println("all")`), ""},
		"NamesTheLineOfTheTour":           {fmt.Sprintf(tour, `42`), "README.md:12:"},
		"NamesTheLineOfAProgram":          {fmt.Sprintf(program, `all()`), "README.md:5:"},
		"ReportsEveryPackage":             {fmt.Sprintf(tour, `42`) + fmt.Sprintf(program, `all()`), "README.md:18:"},
		"LetsNoProgramUseTheTour":         {fmt.Sprintf(tour, `"Ada"`) + fmt.Sprintf(program, `all()`), "README.md:18:"},
		"RefusesStatements":               {"```go\nx := 1\n```\n", "README.md:2:"},
		"RefusesAnImportNotUsed":          {"```go\nimport \"fmt\"\n```\n", "README.md:2:"},
		"RefusesNoBlocks":                 {"# Kit\n\n```sh\ngo get\n```\n", "no block of Go"},
		"RefusesABlockWithoutAnEnd":       {"# Kit\n\n```go\nfunc f() {}\n", "README.md:3:"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "README.md")
			if err := os.WriteFile(path, []byte(c.readme), 0o600); err != nil {
				t.Fatal(err)
			}
			err := compile(t, path)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q in it", err, c.want)
			}
		})
	}
}

// block is what stands between "```go" and "```".
type block struct {
	line int // of its first line, from 1
	code string
}

// isProgram reports whether b is a whole file; the other blocks are the files of one package.
func (b block) isProgram() bool { return strings.HasPrefix(b.code, "package ") }

// blocks returns the blocks of a Markdown text.
func blocks(path, text string) (found []block, err error) {
	var open *block
	for i, line := range strings.Split(text, "\n") {
		switch fence := strings.TrimSpace(line); {
		case open != nil && fence == "```":
			found = append(found, *open)
			open = nil
		case open != nil:
			open.code += line + "\n"
		case fence == "```go":
			open = &block{line: i + 2}
		}
	}
	switch {
	case open != nil:
		return nil, fmt.Errorf("%s:%d: a block of Go that does not end", path, open.line-1)
	case len(found) == 0:
		return nil, fmt.Errorf("%s: no block of Go", path)
	}
	return found, nil
}

// compile builds the blocks of the Markdown file at path as packages of this module that are in no folder. It returns
// what the compiler says, under the lines of that file.
func compile(t *testing.T, path string) error {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	found, err := blocks(path, string(text))
	if err != nil {
		return err
	}
	overlay, packages, err := lay(t.TempDir(), path, found)
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range packages {
		// With the null device as its output, go build does not link.
		out, err := exec.CommandContext(t.Context(), "go", "build", "-o", os.DevNull, "-overlay", overlay, p).CombinedOutput()
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w\n%s", p, err, out))
		}
	}
	return errors.Join(errs...)
}

// lay writes the blocks to dir, and the file that has go build see them in folders of this module which do not exist.
func lay(dir, path string, found []block) (overlay string, packages []string, err error) {
	here, err := os.Getwd()
	if err != nil {
		return "", nil, err
	}
	replace := map[string]string{}
	for i, b := range found {
		name, folder, head := fmt.Sprintf("block%d.go", i+1), "readme_tour", "package tour\n"
		if b.isProgram() {
			folder, head = fmt.Sprintf("readme_program%d", i+1), ""
		}
		if p := "./" + folder; !slices.Contains(packages, p) {
			packages = append(packages, p)
		}
		file := filepath.Join(dir, name)
		replace[filepath.Join(here, folder, name)] = file
		source := fmt.Sprintf("%s//line %s:%d\n%s", head, path, b.line, b.code)
		if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
			return "", nil, err
		}
	}
	data, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", nil, err
	}
	overlay = filepath.Join(dir, "overlay.json")
	return overlay, packages, os.WriteFile(overlay, data, 0o600)
}
