package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
)

// server is a PostgreSQL that ends with this process.
type server struct {
	dir, version string
	url          url.URL
	input        io.Closer // the server stops when this closes, which it does with this process
	cmd          *exec.Cmd
	databases    int
}

// watch runs the server for as long as its standard input is open. The other end is this process's, and closes with it
// even if it is killed: neither the server nor its data outlive it.
const watch = `"$1/postgres" -D "$2/data" -k "$2" -c listen_addresses= -c max_connections=200 -c shared_buffers=512MB \
	-c max_wal_size=8GB >"$2/log" 2>&1 </dev/null &
cat >/dev/null
kill -INT $!
wait
rm -rf "$2"`

// binaries returns the folder of the newest server on this machine.
func binaries() (string, error) {
	for _, pattern := range []string{
		"/usr/local/pgsql/bin", "/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin",
	} {
		dirs, _ := filepath.Glob(pattern) // the patterns are well formed
		for i := len(dirs) - 1; i >= 0; i-- {
			if _, err := os.Stat(filepath.Join(dirs[i], "initdb")); err == nil {
				return dirs[i], nil
			}
		}
	}
	return "", errors.New("no PostgreSQL on this machine: run scripts/services install postgres")
}

func startServer(ctx context.Context) (s *server, err error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	s = &server{}
	if s.dir, err = os.MkdirTemp("", "bench-sql-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	who, err := unprivileged(s.dir)
	if err != nil {
		return nil, err
	}
	initdb := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "-D", filepath.Join(s.dir, "data"), "-U", "postgres",
		"-A", "trust", "-E", "UTF8", "--locale=C")
	initdb.Dir, initdb.SysProcAttr = s.dir, who
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	s.cmd = exec.Command("/bin/sh", "-c", watch, "sh", bin, s.dir) //nolint:noctx // it ends with its input
	s.cmd.Dir, s.cmd.SysProcAttr = s.dir, who
	if s.input, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	s.url = url.URL{Scheme: "postgres", User: url.User("postgres"), Path: "/postgres",
		RawQuery: url.Values{"host": {s.dir}}.Encode()}
	return s, s.await(ctx)
}

func (s *server) await(ctx context.Context) error {
	db, err := sql.Open("pgx", s.url.String())
	if err != nil {
		return err
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		err := db.QueryRowContext(ctx, `SELECT split_part(version(), ' on ', 1)`).Scan(&s.version)
		if err == nil {
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return err
		}
	}
}

// stop ends the server and removes its data.
func (s *server) stop() {
	if s.input != nil {
		_ = s.input.Close()
		_ = s.cmd.Wait()
	}
	_ = os.RemoveAll(s.dir)
}

// database makes a new one and returns its URL. It goes with the server.
func (s *server) database(ctx context.Context) (string, error) {
	db, err := sql.Open("pgx", s.url.String())
	if err != nil {
		return "", err
	}
	defer db.Close()
	s.databases++
	name := fmt.Sprintf("bench_%d", s.databases)
	if _, err := db.ExecContext(ctx, `CREATE DATABASE `+name); err != nil {
		return "", err
	}
	u := s.url
	u.Path = "/" + name
	return u.String(), nil
}
