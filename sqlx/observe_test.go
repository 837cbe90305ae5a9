package sqlx

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"testing"
)

func TestOperation(t *testing.T) {
	for query, want := range map[string]string{
		"SELECT 1":                       "SELECT",
		"  \n\tselect 1":                 "SELECT",
		"(SELECT 1) UNION (SELECT 2)":    "SELECT",
		"-- note\nUPDATE a SET b = 1":    "UPDATE",
		"/* INSERT */ DELETE FROM a":     "DELETE",
		"/*/ x */ DELETE FROM a":         "DELETE",
		"with x as (select 1) select 1":  "WITH",
		"BEGIN IMMEDIATE":                "BEGIN",
		"selectx":                        "OTHER",
		"DROPDATABASE":                   "OTHER",
		"":                               "OTHER",
		"--":                             "OTHER",
		"/* never ends":                  "OTHER",
		"\xff\xfe":                       "OTHER",
		"'; DROP TABLE students":         "OTHER",
		"reindex x":                      "OTHER",
		"CREATE INDEX CONCURRENTLY a":    "CREATE",
		"/* a */ -- b\n/* c */ TRUNCATE": "TRUNCATE",
	} {
		if got := operation(query); got != want {
			t.Errorf("operation(%q) = %q, want %q", query, got, want)
		}
	}
}

// FuzzOperation: whatever a statement looks like, it gets a label out of a list that does not depend on it.
func FuzzOperation(f *testing.F) {
	for _, s := range []string{"SELECT 1", "/*", "--", "(((", "/* a */ -- b\n ;", "\x00"} {
		f.Add(s)
	}
	known := []string{"OTHER", "SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT",
		"RELEASE", "MERGE", "REPLACE", "CREATE", "ALTER", "DROP", "TRUNCATE", "COPY", "CALL", "LOCK", "EXPLAIN", "PRAGMA",
		"VACUUM", "ANALYZE", "LISTEN", "NOTIFY", "SHOW"}
	f.Fuzz(func(t *testing.T, query string) {
		if got := operation(query); !slices.Contains(known, got) {
			t.Errorf("operation(%q) = %q, want one of a fixed list", query, got)
		}
	})
}

// stateError and codeError have the methods by which drivers tell their codes.
type stateError string

func (e stateError) Error() string    { return "state " + string(e) }
func (e stateError) SQLState() string { return string(e) }

type codeError struct {
	code int
	text string
}

func (e codeError) Error() string { return e.text }
func (e codeError) Code() int     { return e.code }

func TestErrorType(t *testing.T) {
	for want, err := range map[string]error{
		"":               nil,
		"23505":          fmt.Errorf("insert: %w", stateError("23505")),
		"517":            codeError{517, "database is locked (517)"},
		"canceled":       context.Canceled,
		"timeout":        fmt.Errorf("%w", context.DeadlineExceeded),
		"bad_connection": driver.ErrBadConn,
		"_OTHER":         errors.New("password hunter2 refused"),
	} {
		if got := errorType(err); got != want {
			t.Errorf("errorType(%v) = %q, want %q", err, got, want)
		}
	}
}

func TestIsConflict(t *testing.T) {
	for name, tt := range map[string]struct {
		err  error
		want bool
	}{
		"serialisation failure":        {stateError("40001"), true},
		"deadlock":                     {stateError("40P01"), true},
		"wrapped":                      {fmt.Errorf("a: %w", fmt.Errorf("b: %w", stateError("40001"))), true},
		"joined":                       {errors.Join(errors.New("a"), stateError("40001")), true},
		"unique violation":             {stateError("23505"), false},
		"SQLITE_BUSY":                  {codeError{5, "database is locked (5) (SQLITE_BUSY)"}, true},
		"SQLITE_BUSY_SNAPSHOT":         {codeError{517, "database is locked (517)"}, true},
		"SQLITE_CONSTRAINT":            {codeError{19, "constraint failed (19) (SQLITE_CONSTRAINT)"}, false},
		"a stranger's Code() that's 5": {codeError{5, "no such user"}, false},
		"nil":                          {nil, false},
		"any other":                    {errors.New("40001"), false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := IsConflict(tt.err); got != tt.want {
				t.Errorf("IsConflict(%v) = %v, want %v", tt.err, got, tt.want)
			}
		})
	}
}
