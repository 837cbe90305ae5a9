package outbox

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/migrate"
)

//go:embed migrations
var migrations embed.FS

// Migrate creates the outbox's tables, or brings them up to date, as package migrate promises: however many processes
// start at once. It records that in a table of its own, mainstay_outbox_migrations. Its shape fits mainstay.Once.
func (b *Outbox) Migrate(ctx context.Context) error {
	files, err := fs.Sub(migrations, "migrations/"+b.dialect.String())
	if err != nil {
		return fmt.Errorf("outbox: migrate: %w", err)
	}
	o := &migrate.Options{Table: "mainstay_outbox_migrations", Logger: b.logger}
	if err := migrate.New(b.db, b.dialect, files, o).Up(ctx); err != nil {
		return fmt.Errorf("outbox: %w", err)
	}
	return nil
}

// tables are what the outbox reads and writes.
var tables = [...]struct{ name, columns string }{
	{"mainstay_outbox", "shard, seq, topic, message_id, message_key, envelope, data, created_ms"},
	{"mainstay_outbox_parked",
		"seq, shard, topic, message_id, message_key, envelope, data, created_ms, parked_ms, error"},
	{"mainstay_outbox_sent", "sent_ms, seq, topic, message_id, message_key, envelope, data, created_ms"},
	{"mainstay_outbox_lease", "shard, holder, expires_ms"},
	{"mainstay_outbox_relay", "holder, expires_ms"},
}

// Verify returns an error that says what is missing where the tables are not as the files in this package's folder
// migrations have them. It is for services whose tables somebody else creates from those files: it changes nothing and
// needs no rights but those of the relay. Its shape fits mainstay.Once.
func (b *Outbox) Verify(ctx context.Context) error {
	if err := b.dialect.Check(); err != nil {
		return fmt.Errorf("outbox: %w", err)
	}
	var errs []error
	for _, t := range tables {
		// Constants, both of them.
		if _, err := b.db.ExecContext(ctx, `SELECT `+t.columns+` FROM `+t.name+` WHERE 1 = 0`); err != nil {
			errs = append(errs, fmt.Errorf("outbox: table %s: %w", t.name, err))
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	return b.verifyRows(ctx)
}

// verifyRows looks at what the columns do not show.
func (b *Outbox) verifyRows(ctx context.Context) error {
	var n, least, most int64
	err := b.db.QueryRowContext(ctx, `SELECT count(*), COALESCE(MIN(shard), 0), COALESCE(MAX(shard), 0)
		FROM mainstay_outbox_lease`).Scan(&n, &least, &most)
	if err != nil {
		return fmt.Errorf("outbox: table mainstay_outbox_lease: %w", err)
	}
	if n != shards || least != 0 || most != shards-1 {
		return fmt.Errorf("outbox: table mainstay_outbox_lease: %d rows, %d to %d, want %d, one for each shard from 0 on",
			n, least, most, shards)
	}
	if b.dialect == sqlx.SQLite {
		return nil
	}
	// Sessions that take numbers in stock give later rows lower ones.
	var cache int64
	err = b.db.QueryRowContext(ctx, `SELECT COALESCE((SELECT seqcache FROM pg_catalog.pg_sequence WHERE seqrelid =
		CAST(CAST(pg_get_serial_sequence('mainstay_outbox', 'seq') AS regclass) AS oid)), 0)`).Scan(&cache)
	if err != nil {
		return fmt.Errorf("outbox: table mainstay_outbox: %w", err)
	}
	if cache != 1 {
		return fmt.Errorf("outbox: table mainstay_outbox: column seq: its sequence has CACHE %d, want an identity column"+
			" with CACHE 1", cache)
	}
	return nil
}
