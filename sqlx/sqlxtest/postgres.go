package sqlxtest

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
)

// serverVariable names a server to use instead of a private one.
const serverVariable = "MAINSTAY_TEST_POSTGRES"

// private is the process's server: the one thing that tests of a process share.
var private struct {
	once sync.Once
	url  *url.URL
	err  error
	end  io.Closer // the server stops when this is closed, which includes being garbage collected
}

// server returns the URL of a server, or skips t.
func server(t testing.TB) *url.URL {
	t.Helper()
	if s := os.Getenv(serverVariable); s != "" {
		u, err := url.Parse(s)
		if err != nil {
			t.Fatalf("%s is not a URL", serverVariable) // its text may hold a password
		}
		return u
	}
	bin := findBinaries()
	if bin == "" {
		if os.Getenv("CI") != "" {
			t.Fatal("no PostgreSQL server binaries on this machine")
		}
		t.Skip("no PostgreSQL server binaries on this machine")
	}
	private.once.Do(func() { private.url, private.err = startServer(bin) })
	if private.err != nil {
		t.Fatal(private.err)
	}
	return private.url
}

// findBinaries returns the folder of the newest server on the machine, "" for none. The distributions' own folders
// come first: what is on the PATH may be a wrapper.
func findBinaries() string {
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin",
	} {
		dirs, _ := filepath.Glob(pattern) // the patterns are well formed
		for i := len(dirs) - 1; i >= 0; i-- {
			if _, err := os.Stat(filepath.Join(dirs[i], "initdb")); err == nil {
				return dirs[i]
			}
		}
	}
	if p, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(p)
	}
	return ""
}

// watch runs the server for as long as its standard input is open. The other end is this process's, and closes with
// it even if it is killed: no server outlives its tests.
const watch = `"$1/postgres" -D "$2/data" -k "$2" -c listen_addresses= -c fsync=off -c max_connections=200 \
	>"$2/log" 2>&1 </dev/null &
cat >/dev/null
kill -INT $!
wait
rm -rf "$2"`

func startServer(bin string) (*url.URL, error) {
	// Not t.TempDir: the path of a Unix socket is short, and the server belongs to all tests.
	dir, err := os.MkdirTemp("", "sqlxtest-")
	if err != nil {
		return nil, err
	}
	who, err := unprivileged(dir)
	if err != nil {
		return nil, err
	}
	init := exec.Command(filepath.Join(bin, "initdb"), "-D", filepath.Join(dir, "data"), "-U", "postgres",
		"-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	init.Dir, init.SysProcAttr = dir, who
	if out, err := init.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("sqlxtest: initdb: %w: %s", err, out)
	}
	cmd := exec.Command("/bin/sh", "-c", watch, "sh", bin, dir)
	cmd.Dir, cmd.SysProcAttr = dir, who
	if private.end, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	u := &url.URL{Scheme: "postgres", User: url.User("postgres"), Path: "/postgres",
		RawQuery: url.Values{"host": {dir}}.Encode()}
	return u, awaitServer(u, filepath.Join(dir, "log"))
}

func awaitServer(u *url.URL, logFile string) error {
	db, err := sql.Open("pgx", u.String())
	if err != nil {
		return err
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		if err = db.PingContext(ctx); err == nil {
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			log, _ := os.ReadFile(logFile)
			return fmt.Errorf("sqlxtest: the server does not answer: %w: %s", err, log)
		}
	}
}

// createDatabase makes a database on u's server and returns its URL.
func createDatabase(t testing.TB, u *url.URL) string {
	t.Helper()
	name := "t_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	admin(t, u, "CREATE DATABASE "+name)
	t.Cleanup(func() { admin(t, u, "DROP DATABASE "+name+" WITH (FORCE)") })
	scratch := *u
	scratch.Path = "/" + name
	return scratch.String()
}

func admin(t testing.TB, u *url.URL, query string) {
	t.Helper()
	db, err := sql.Open("pgx", u.String())
	if err != nil {
		t.Fatalf("the driver cannot parse the URL of the server")
	}
	defer db.Close()
	if _, err := db.ExecContext(context.Background(), query); err != nil {
		t.Errorf("%s: %v", query, err)
	}
}
