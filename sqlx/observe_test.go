package sqlx

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
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
		if got := operationOf(query).String(); got != want {
			t.Errorf("operationOf(%q) = %q, want %q", query, got, want)
		}
	}
}

// FuzzOperation: whatever a statement looks like, it gets a label out of a list that does not depend on it.
func FuzzOperation(f *testing.F) {
	for _, s := range []string{"SELECT 1", "/*", "--", "(((", "/* a */ -- b\n ;", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		op := operationOf(query)
		if op >= operations || operationOf(strings.ToUpper(query)) != op && utf8.ValidString(query) {
			t.Errorf("operationOf(%q) = %d, want one of a fixed list, in any case", query, op)
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

func TestErrorTypeTakesNoStateThatIsNone(t *testing.T) {
	for _, s := range []string{"23505\n", "2350", "abcde", "2350\xff", "ALABAMA", strings.Repeat("A", 1<<20)} {
		if got := errorType(stateError(s)); got != "_OTHER" {
			t.Errorf("the state %.20q is the error type %.20q, want _OTHER", s, got)
		}
	}
}

// TestErrorsMakeFewSeries: whatever codes a database makes up, there are a hundred series for them, and one more.
func TestErrorsMakeFewSeries(t *testing.T) {
	reg := prometheus.NewRegistry()
	o, err := newObserver(Postgres, Options{Registerer: reg})
	if err != nil {
		t.Fatal(err)
	}
	run := func(err error) { o.begin(t.Context(), opSelect).end(err) }
	run(nil)
	run(stateError("23505"))
	const each = 35_000
	for i := range each {
		run(stateError(fmt.Sprintf("%05d", i)))
		run(codeError{i, fmt.Sprintf("(%d)", i)})
		run(fmt.Errorf("error %d", i))
	}
	run(stateError("23505"))
	run(context.DeadlineExceeded)
	run(context.Canceled)
	run(driver.ErrBadConn)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	series := map[string]uint64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "db_client_operation_duration_seconds" {
				series[m.GetLabel()[len(m.GetLabel())-1].GetValue()] = m.GetHistogram().GetSampleCount()
			}
		}
	}
	if got, want := len(series), 1+maxErrorTypes+1; got != want {
		t.Errorf("%d series, want %d: of successes, of %d codes, of the rest", got, want, maxErrorTypes)
	}
	if series["timeout"] != 1 || series["_OTHER"] != each {
		t.Errorf("%d time-outs and %d without a code, want 1 and %d", series["timeout"], series["_OTHER"], each)
	}
	if series[""] != 1 || series["23505"] != 4 {
		t.Errorf("%d successes and %d of 23505, want 1 and 4", series[""], series["23505"])
	}
}

func TestMeasuringAllocatesNothing(t *testing.T) {
	o, err := newObserver(Postgres, Options{Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() { o.begin(ctx, operationOf("INSERT INTO a")).end(nil) }); n != 0 {
		t.Errorf("%v allocations, want none outside a trace", n)
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
