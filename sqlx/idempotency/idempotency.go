package idempotency

import (
	"cmp"
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/internal/table"
)

// defaultTable is also what the migrations call the table.
const defaultTable = "mainstay_idempotency"

const (
	defaultLease       = 10 * time.Second
	defaultExpiry      = 24 * time.Hour
	defaultMaxBody     = 1 << 20
	defaultMaxResponse = 1 << 20
)

// Options adjusts [Keys]. Nil, and the zero value of every field, mean the defaults.
type Options struct {
	// Table holds one row for each key in use. "" means "mainstay_idempotency"; else at most 37 of a-z 0-9 _, no digit
	// first, on PostgreSQL after an optional schema and a dot. What was migrated is recorded beside it, in a table of
	// that name and "_migrations".
	Table string
	// Optional lets requests without a key through, unprotected. False means that they are refused with 400.
	Optional bool
	// AllowBare takes a key without quotes too, as clients send it that are older than the draft. False means that
	// such a key is refused with 400. Quoted or not, it is the same key.
	AllowBare bool
	// Expiry is how long a key is in use, and its answer kept, from when the handler began, or from when its lease was
	// last extended. Zero means 24h; less than Lease is an error.
	Expiry time.Duration
	// Lease is how long a process that died keeps a key from being tried again; a live one extends its lease while its
	// handler runs. It is of no use to endpoints made by [Handler]. Zero means 10s; less than 100ms is an error.
	Lease time.Duration
	// Wait is how long a request waits while another of its key is being handled, holding no connection, before it is
	// refused with 409. Zero or negative means not at all.
	Wait time.Duration
	// MaxBody bounds a request's body in bytes, since it is read into memory before the handler runs; larger ones are
	// refused with 413. A lower limit of the server's counts too. Zero means 1 MiB; negative means no limit.
	MaxBody int64
	// MaxResponse bounds the body of an answer that is kept, in bytes. Zero means 1 MiB; negative means no limit. See
	// [Keys.Middleware] and [Handler] for what becomes of a larger one.
	MaxResponse int
	// FingerprintHeaders names request headers that are part of what a request is, beside its method, path, query and
	// body: another value under the same key is refused with 422. Nil means none.
	FingerprintHeaders []string
	// Scope says whose key it is, beside the principal's (auth.FromContext): the tenant, say. Keys of different scopes
	// do not meet. Nil means the principal's alone, and that all callers without one share their keys.
	Scope func(*http.Request) string
	// Keep says whether an answer of a status is kept. After any other the key is free at once, and the next request
	// runs the handler again. Nil means [KeepStatus]. Endpoints made by [Handler] keep what they commit.
	Keep func(status int) bool
	// KeepHeader says whether a header that the handler set, by its canonical name, is kept with the answer. Nil means
	// all but Set-Cookie, which is a credential. Date and what belongs to one connection never are.
	KeepHeader func(name string) bool
	// Isolation is the isolation level of the transactions of endpoints made by [Handler]. Zero means the database's
	// default, as in sqlx.TxOptions.
	Isolation sql.IsolationLevel
	// Logger gets a line where something is wrong: a lease that was lost, an answer that could not be kept. Nil means
	// slog.Default().
	Logger *slog.Logger
	// Registerer gets mainstay_idempotency_requests_total{http_route,outcome}. Nil means prometheus.DefaultRegisterer.
	Registerer prometheus.Registerer
}

// KeepStatus is the default of Options.Keep: what says that the request was dealt with is kept, 2xx, 3xx and most of
// 4xx. Not kept are 5xx, after which the client is to try again, and what says that nothing was done and that the same
// request, or a mended one, may fare better: 400, 401, 403, 408, 409, 413, 415, 421, 422, 425, 429 and 499.
func KeepStatus(status int) bool {
	switch status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusRequestTimeout,
		http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType,
		http.StatusMisdirectedRequest, http.StatusUnprocessableEntity, http.StatusTooEarly,
		http.StatusTooManyRequests, 499:
		return false
	}
	return status >= 200 && status < 500
}

// Keys are the idempotency keys of one database. It is safe for concurrent use, and holds nothing open.
type Keys struct {
	db     *sql.DB
	table  table.Table
	store  store
	opt    Options
	counts *counts
	err    error // why it cannot be used, reported by whatever uses it
}

// New returns the idempotency keys in db. For endpoints made by [Handler] that must be the database of their own
// writes; every replica of a service must use the same. New does not touch it. The table is created by [Keys.Migrate],
// and must be there before the first request is.
//
// What is wrong with d or o is reported by Migrate, Verify, Clean and the cleaner's Run; requests are answered with 500.
func New(db *sql.DB, d sqlx.Dialect, o *Options) *Keys {
	var opt Options
	if o != nil {
		opt = *o
	}
	opt.Table = cmp.Or(opt.Table, defaultTable)
	opt.Expiry = cmp.Or(opt.Expiry, defaultExpiry)
	opt.Lease = cmp.Or(opt.Lease, defaultLease)
	opt.MaxBody = cmp.Or(opt.MaxBody, defaultMaxBody)
	opt.MaxResponse = cmp.Or(opt.MaxResponse, defaultMaxResponse)
	opt.Logger = cmp.Or(opt.Logger, slog.Default())
	if opt.Keep == nil {
		opt.Keep = KeepStatus
	}
	if opt.KeepHeader == nil {
		opt.KeepHeader = func(name string) bool { return name != "Set-Cookie" }
	}
	k := &Keys{
		db: db, opt: opt, store: newStore(db, d, opt.Table, opt.Expiry, opt.Lease),
		table: table.Table{
			DB: db, Dialect: d, Name: opt.Table, Default: defaultTable, Files: migrations, Logger: opt.Logger,
		},
	}
	var err error
	k.counts, err = newCounts(opt.Registerer)
	if err = errors.Join(k.table.Check(), opt.check(), err); err != nil {
		k.err = fmt.Errorf("idempotency: %w", err)
	}
	return k
}

func (o *Options) check() error {
	if o.Lease < 100*time.Millisecond {
		return fmt.Errorf("option Lease: %v, want 100ms or more", o.Lease)
	}
	if o.Expiry < o.Lease {
		return fmt.Errorf("option Expiry: %v, want no less than Lease, %v", o.Expiry, o.Lease)
	}
	return nil
}

//go:embed migrations
var migrations embed.FS

// Migrate creates the table, or brings it up to date, as package migrate promises: however many processes start at
// once. Its shape fits mainstay.Once.
func (k *Keys) Migrate(ctx context.Context) error { return k.use(ctx, k.table.Migrate) }

// Verify is for a service that may not create tables, or leaves that to a tool of its own: the table is made by the SQL
// files in this package's folder migrations. Verify changes nothing, and returns an error where the table, a column,
// the unique key or a right is missing. Its shape fits mainstay.Once.
func (k *Keys) Verify(ctx context.Context) error {
	return k.use(ctx, func(ctx context.Context) error { return k.table.Verify(ctx, k.store.statements()...) })
}

func (k *Keys) use(ctx context.Context, f func(context.Context) error) error {
	if k.err != nil {
		return k.err
	}
	if err := f(ctx); err != nil {
		return fmt.Errorf("idempotency: %w", err)
	}
	return nil
}
