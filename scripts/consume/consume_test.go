package main

import (
	"archive/zip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// repository writes files to a new folder and has git track them, but for those named untracked.
func repository(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		at := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{
		{"init", "-q"}, {"add", "."}, {"rm", "-q", "--cached", "--ignore-unmatch", "untracked.go"},
	} {
		if _, err := output(t.Context(), root, nil, "git", args...); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestPack(t *testing.T) {
	root := repository(t, map[string]string{
		"go.mod":       "module github.com/mainstay-go/mainstay\n\ngo 1.26.0\n",
		"a.go":         "package mainstay\n",
		"untracked.go": "package mainstay\n",
		"sub/b.go":     "package sub\n",
		"nested/go.mod": "module github.com/mainstay-go/mainstay/nested\n\ngo 1.26.0\n\n" +
			"require (\n\tgithub.com/google/uuid v1.6.0\n\tgithub.com/mainstay-go/mainstay v0.0.0\n)\n\n" +
			"replace github.com/mainstay-go/mainstay => ../\n\nreplace github.com/google/uuid => ../uuid\n",
		"nested/c.go": "package nested\n",
	})
	proxy := t.TempDir()
	n, err := pack(t.Context(), root, proxy)
	if err != nil || n != 2 {
		t.Fatalf("got %d modules, %v, want 2, nil", n, err)
	}
	versions := filepath.Join(proxy, "github.com", "mainstay-go", "mainstay")

	t.Run("LeavesOutNestedModulesAndWhatGitDoesNotTrack", func(t *testing.T) {
		got := archived(t, filepath.Join(versions, "@v", version+".zip"))
		prefix := "github.com/mainstay-go/mainstay@" + version + "/"
		if want := []string{prefix + "a.go", prefix + "go.mod", prefix + "sub/b.go"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	t.Run("PacksANestedModuleByItself", func(t *testing.T) {
		got := archived(t, filepath.Join(versions, "nested", "@v", version+".zip"))
		prefix := "github.com/mainstay-go/mainstay/nested@" + version + "/"
		if want := []string{prefix + "c.go", prefix + "go.mod"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	t.Run("RequiresThePackedVersionAndDropsOurReplacements", func(t *testing.T) {
		got, err := os.ReadFile(filepath.Join(versions, "nested", "@v", version+".mod"))
		if err != nil {
			t.Fatal(err)
		}
		want := "module github.com/mainstay-go/mainstay/nested\n\ngo 1.26.0\n\n" +
			"require (\n\tgithub.com/google/uuid v1.6.0\n\tgithub.com/mainstay-go/mainstay v0.0.1-consume\n)\n\n" +
			"replace github.com/google/uuid => ../uuid\n"
		if string(got) != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	t.Run("HasTheSameGoModInTheArchive", func(t *testing.T) {
		r, err := zip.OpenReader(filepath.Join(versions, "nested", "@v", version+".zip"))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		mod, err := os.ReadFile(filepath.Join(versions, "nested", "@v", version+".mod"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range r.File {
			if strings.HasSuffix(f.Name, "/go.mod") && f.UncompressedSize64 != uint64(len(mod)) {
				t.Errorf("got %d bytes, want %d", f.UncompressedSize64, len(mod))
			}
		}
	})
	t.Run("LeavesOutWhatWasDeleted", func(t *testing.T) {
		if err := os.Remove(filepath.Join(root, "sub", "b.go")); err != nil {
			t.Fatal(err)
		}
		again := t.TempDir()
		if _, err := pack(t.Context(), root, again); err != nil {
			t.Fatal(err)
		}
		got := archived(t, filepath.Join(again, "github.com", "mainstay-go", "mainstay", "@v", version+".zip"))
		if slices.ContainsFunc(got, func(name string) bool { return strings.HasSuffix(name, "b.go") }) {
			t.Errorf("got %q, want no sub/b.go", got)
		}
	})
}

// archived returns the names in a zip archive, sorted.
func archived(t *testing.T, path string) []string {
	t.Helper()
	r, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var names []string
	for _, f := range r.File {
		names = append(names, f.Name)
	}
	slices.Sort(names)
	return names
}

// TestRequirements counts what is direct and what is not.
func TestRequirements(t *testing.T) {
	path := filepath.Join(t.TempDir(), "go.mod")
	src := "module m\n\nrequire a.example/a v1.0.0\n\nrequire (\n\tb.example/b v1.0.0 // indirect\n\tc.example/c v1.0.0\n)\n"
	if err := os.WriteFile(path, []byte(src), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := requirements(path)
	if want := []string{"a.example/a", "b.example/b", "c.example/c"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v, want %q, nil", got, err, want)
	}
}

// TestBudget has no package twice, and programs that use the package they are for.
func TestBudget(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range budget {
		if seen[p.path] {
			t.Errorf("%s is listed twice", p.path)
		}
		seen[p.path] = true
		if !strings.Contains(p.program, `"`+owner+"/mainstay/"+p.path+`"`) {
			t.Errorf("the program of %s does not import it", p.path)
		}
	}
}
