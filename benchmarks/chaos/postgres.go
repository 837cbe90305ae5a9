package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/sqlx"
)

// postgresBin returns the folder of the newest server's programs.
func postgresBin() (string, error) {
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin", "/usr/local/pgsql/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin",
	} {
		if found, err := installed("/", pattern[1:]+"/initdb"); err == nil {
			return filepath.Dir(found), nil
		}
	}
	return "", errors.New("no PostgreSQL on this machine: run scripts/services install")
}

// newPostgres prepares a server with its data in dir, and returns its URL.
func newPostgres(ctx context.Context, dir, log string, port int) (*server, string, error) {
	bin, err := postgresBin()
	if err != nil {
		return nil, "", err
	}
	uid, gid, err := unprivileged(dir)
	if err != nil {
		return nil, "", err
	}
	data := filepath.Join(dir, "data")
	initdb := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "-D", data, "-U", "chaos", "-A", "trust",
		"-E", "UTF8", "--locale=C", "--no-sync")
	initdb.Dir, initdb.SysProcAttr = dir, asUser(uid, gid)
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, "", fmt.Errorf("initdb: %w: %s", err, out)
	}
	// The machine does not crash in this trial: what a flush would save is not at stake.
	command := []string{
		filepath.Join(bin, "postgres"), "-D", data, "-c", "listen_addresses=127.0.0.1", "-c", "port=" + strconv.Itoa(port),
		"-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "max_connections=200",
	}
	u := url.URL{
		Scheme: "postgres", User: url.User("chaos"), Host: address(port), Path: "/postgres", RawQuery: "sslmode=disable",
	}
	s := &server{what: guard{Log: log, Dir: dir, UID: uid, GID: gid, Command: command}}
	s.ready = func(ctx context.Context) error {
		db, err := sql.Open("pgx", u.String())
		if err != nil {
			return err
		}
		defer db.Close()
		return db.PingContext(ctx)
	}
	return s, u.String(), nil
}

// schema holds what the handlers write. The row of a key is locked until the transaction ends, so that effects are
// numbered in the order of their commits.
const schema = `
CREATE TABLE heads (key text PRIMARY KEY, n bigint NOT NULL) WITH (fillfactor = 50);
CREATE TABLE effects (
	message text NOT NULL, key text NOT NULL, seq bigint NOT NULL, n bigint NOT NULL,
	consumer text NOT NULL, at timestamptz NOT NULL
)`

// recordEffect writes the effect of message $2, which is number $3 of key $1, by consumer $4.
const recordEffect = `
WITH head AS (
	INSERT INTO heads (key, n) VALUES ($1, 1) ON CONFLICT (key) DO UPDATE SET n = heads.n + 1 RETURNING n
)
INSERT INTO effects (message, key, seq, n, consumer, at) SELECT $2, $1, $3, n, $4, clock_timestamp() FROM head`

func openDatabase(ctx context.Context, url string, connections int) (*sql.DB, error) {
	return sqlx.Open(ctx, sqlx.Postgres, url, &sqlx.Options{
		MaxOpen: connections, Logger: slog.Default(), Registerer: prometheus.NewRegistry(),
	})
}

// effectsIn returns all effects, in the order of their commits within a key.
func effectsIn(ctx context.Context, db *sql.DB) ([]effect, error) {
	rows, err := db.QueryContext(ctx, `SELECT message, key, seq, consumer, at FROM effects ORDER BY key, n`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []effect
	for rows.Next() {
		var e effect
		if err := rows.Scan(&e.message, &e.key, &e.seq, &e.consumer, &e.at); err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, rows.Err()
}

// countEffects returns how many there are.
func countEffects(ctx context.Context, db *sql.DB) (n int, err error) {
	err = db.QueryRowContext(ctx, `SELECT coalesce(sum(n), 0)::bigint FROM heads`).Scan(&n)
	return n, err
}

// countMessages returns how many messages have had an effect.
func countMessages(ctx context.Context, db *sql.DB) (n int, err error) {
	err = db.QueryRowContext(ctx, `SELECT count(DISTINCT message) FROM effects`).Scan(&n)
	return n, err
}

// latestConsumer returns who had the latest effect, "" for nobody.
func latestConsumer(ctx context.Context, db *sql.DB) (name string, err error) {
	err = db.QueryRowContext(ctx, `SELECT consumer FROM effects ORDER BY at DESC LIMIT 1`).Scan(&name)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return name, err
}

// logFile names the log of one process.
func logFile(dir, name string) string { return filepath.Join(dir, name+".log") }

func openLog(dir, name string) (*os.File, error) {
	return os.OpenFile(logFile(dir, name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
}
