package platform

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	_ "github.com/jackc/pgx/v5/stdlib" // PostgreSQL
	_ "modernc.org/sqlite"             // SQLite

	"github.com/mainstay-go/mainstay"
	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/inbox"
	"github.com/mainstay-go/mainstay/sqlx/migrate"
	"github.com/mainstay-go/mainstay/sqlx/outbox"
)

// DB is a service's own database: its tables, its outbox and its inbox.
type DB struct {
	*sql.DB
	Outbox *outbox.Outbox
	Inbox  *inbox.Inbox

	p          *Platform
	dialect    sqlx.Dialect
	migrations fs.FS
}

// OpenDB opens the database that the flags name, and waits for it as long as ctx lets it. The migrations are those in
// the folder "migrations" of files; [DB.Migrate] runs them.
func (p *Platform) OpenDB(ctx context.Context, files fs.FS) (*DB, error) {
	migrations, err := fs.Sub(files, "migrations")
	if err != nil {
		return nil, err
	}
	dialect, dsn, err := Database(p.DB)
	if err != nil {
		return nil, err
	}
	db, err := sqlx.Open(ctx, dialect, dsn, &sqlx.Options{
		Logger: p.Logger, TracerProvider: p.Tracing.TracerProvider(), Registerer: p.Registry,
	})
	if err != nil {
		return nil, err
	}
	p.onClose(db.Close)
	p.check("database", db.PingContext)
	return &DB{
		DB: db, p: p, dialect: dialect, migrations: migrations,
		Outbox: outbox.New(db, dialect, &outbox.Options{Logger: p.Logger}),
		Inbox:  inbox.New(db, dialect, &inbox.Options{Logger: p.Logger, Registerer: p.Registry}),
	}, nil
}

// Migrate brings the service's own tables up to date, and then does more: db.Outbox.Migrate, db.Inbox.Migrate.
func (db *DB) Migrate(more ...func(context.Context) error) mainstay.Runner {
	own := migrate.New(db.DB, db.dialect, db.migrations, &migrate.Options{Logger: db.p.Logger})
	return mainstay.Once(func(ctx context.Context) error {
		for _, step := range append([]func(context.Context) error{own.Up}, more...) {
			if err := step(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}

// How long the inbox remembers a message: longer than the broker keeps one (7 days) and longer than anybody lets a dead
// letter lie before it is sent again. And how often it is tidied.
const (
	inboxKeeps = 30 * 24 * time.Hour
	inboxTidy  = time.Hour
)

// Tidy forgets messages that the inbox handled long ago.
func (db *DB) Tidy() mainstay.Runner { return mainstay.RunnerFunc(db.tidy) }

func (db *DB) tidy(ctx context.Context) error {
	t := time.NewTicker(inboxTidy)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		if _, err := db.Inbox.Prune(ctx, inboxKeeps); err != nil && ctx.Err() == nil {
			db.p.Logger.WarnContext(ctx, "the inbox is tidied later", "error", err)
		}
	}
}

// Relay publishes what transactions put into the outbox.
func (db *DB) Relay(to pubsub.Publisher) mainstay.Runner {
	return db.Outbox.Relay(to, &outbox.RelayOptions{
		Lease: db.p.Lease, Logger: db.p.Logger, Registerer: db.p.Registry,
	})
}

// Database splits what Config.DB says into what sqlx.Open takes.
func Database(db string) (sqlx.Dialect, string, error) {
	scheme, rest, _ := strings.Cut(db, ":")
	switch scheme {
	case "sqlite":
		return sqlx.SQLite, "file:" + rest, nil
	case "postgres", "postgresql":
		return sqlx.Postgres, db, nil
	}
	// What was given may hold a password: it is no part of the error.
	return 0, "", errors.New(`database: want "sqlite:file" or "postgres://..."`)
}

// ServiceDatabase returns the URL of the database that belongs to service on the PostgreSQL server of base:
// NAME_service where base names NAME. It creates it where it is missing.
func ServiceDatabase(ctx context.Context, base, service string) (string, error) {
	u, err := url.Parse(base)
	if err != nil {
		return "", errors.New("database: not a URL") // url.Error would quote the password
	}
	name := strings.TrimPrefix(u.Path, "/") + "_" + service
	conn, err := pgx.Connect(ctx, base)
	if err != nil {
		return "", fmt.Errorf("database: create %q: %w", name, err)
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // what matters has been answered
	_, err = conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize())
	if pe, ok := errors.AsType[*pgconn.PgError](err); err != nil && !(ok && pe.Code == "42P04") { // duplicate_database
		return "", fmt.Errorf("database: create %q: %w", name, err)
	}
	u.Path = "/" + name
	return u.String(), nil
}
