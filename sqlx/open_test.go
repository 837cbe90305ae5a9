package sqlx

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestScrub(t *testing.T) {
	for name, tt := range map[string]struct{ dsn, quoted string }{
		"URL":              {"postgres://app:hunter2@db.internal:5432/shop", "hunter2"},
		"URL, as written":  {"postgres://app:hunter%21@db.internal/shop", "hunter%21"},
		"URL, decoded":     {"postgres://app:hunter%21@db.internal/shop", "hunter!"},
		"URL, query":       {"postgres://db.internal/shop?user=app&password=hunter2", "hunter2"},
		"key=value":        {"host=db user=app password=hunter2 dbname=shop", "hunter2"},
		"key=value quoted": {"host=db password = 'hunter 2' dbname=shop", "hunter 2"},
		"no URL":           {"postgres://app@db:port:port/%zz password=hunter2", "hunter2"},
	} {
		t.Run(name, func(t *testing.T) {
			cause := errors.New("dial: password " + tt.quoted + " of " + tt.dsn)
			got := scrub(cause, tt.dsn)
			if strings.Contains(got.Error(), tt.quoted) || strings.Contains(got.Error(), tt.dsn) {
				t.Errorf("scrub left the secret in %q", got)
			}
			if !errors.Is(got, cause) {
				t.Errorf("scrub(%v) does not match its cause", cause)
			}
		})
	}
}

func TestPragmasLeaveTheDSNItsOwn(t *testing.T) {
	got := strings.Join(pragmas("file:a.db?_pragma=synchronous(NORMAL)&_pragma=busy_timeout(100)"), ";")
	if want := "PRAGMA journal_mode = WAL;PRAGMA foreign_keys = ON"; got != want {
		t.Errorf("pragmas = %q, want %q", got, want)
	}
}

func TestCommitUnknown(t *testing.T) {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for name, tt := range map[string]struct {
		err  error
		want bool
	}{
		"the server refused it":        {stateError("40001"), false},
		"the server shuts down":        {stateError("57P01"), true},
		"connection exception":         {stateError("08006"), true},
		"ctx ended before it was sent": {context.Canceled, false},
		"ctx ended while it was":       {errors.Join(context.Canceled), true},
		"any other":                    {errors.New("commit resulted in rollback"), false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := commitUnknown(ended, tt.err); got != tt.want {
				t.Errorf("commitUnknown(%v) = %v, want %v", tt.err, got, tt.want)
			}
		})
	}
}

func TestOpenFailsAtOnce(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for name, tt := range map[string]struct {
		dialect Dialect
		want    string
	}{
		"WithoutDialect": {0, "sqlx: unknown dialect(0)"},
		"WithoutDriver":  {Postgres, `sqlx: open postgresql: no driver "pgx" is linked: import _ "github.com/jackc/pgx/v5/stdlib"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Open(ctx, tt.dialect, "postgres://localhost/x", nil)
			if err == nil || err.Error() != tt.want {
				t.Errorf("Open error = %v, want %q", err, tt.want)
			}
		})
	}
}
