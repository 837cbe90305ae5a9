// Package exampletest starts a program in its own test, as a process of its own, and reads what it logs.
//
// A program that is tested so listens where its flag -addr says and first logs a line of JSON with the attribute url.
package exampletest

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// serve is the first argument of a test binary that is to be its program.
const serve = "serve"

// Main is what TestMain does: it runs the program where a [Command] has started this binary, else the tests.
func Main(m *testing.M, program func()) {
	if len(os.Args) > 1 && os.Args[1] == serve {
		os.Args = append(os.Args[:1], os.Args[2:]...)
		program()
		return
	}
	goleak.VerifyTestMain(m)
}

// Command returns the program with flags. It is killed when ctx ends.
func Command(ctx context.Context, flags ...string) *exec.Cmd {
	return exec.CommandContext(ctx, os.Args[0], append([]string{serve}, flags...)...) //nolint:gosec // this binary
}

// Program is a program that runs until the test ends, or a minute, whichever is first.
type Program struct {
	// URL is where it serves.
	URL   string
	lines *bufio.Scanner
}

// Start starts the program with flags on a free port, and returns once it listens.
func Start(t *testing.T, flags ...string) *Program {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	cmd := Command(ctx, append([]string{"-addr", "127.0.0.1:0"}, flags...)...)
	stderr, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		cancel()
		_ = cmd.Wait() // killed
	})
	p := &Program{lines: bufio.NewScanner(stderr)}
	p.URL, _ = p.Line(t)["url"].(string)
	return p
}

// Line returns the next line of the program's log.
func (p *Program) Line(t *testing.T) map[string]any {
	t.Helper()
	if !p.lines.Scan() {
		t.Fatalf("the program's log has ended: %v", p.lines.Err())
	}
	var line map[string]any
	if err := json.Unmarshal(p.lines.Bytes(), &line); err != nil {
		t.Fatalf("the program said %q: %v", p.lines.Text(), err)
	}
	return line
}

// Do sends a request to the program and returns the answer and its body.
func (p *Program) Do(t *testing.T, method, path string, header http.Header) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, p.URL+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		r.Header = header
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}
