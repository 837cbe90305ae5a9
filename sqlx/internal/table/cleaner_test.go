package table_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/internal/table"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCleaner(t *testing.T) {
	t.Run("CleansAtOnceAndEverySoOftenWhateverFails", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			began, ctx := time.Now(), t.Context()
			ctx, cancel := context.WithCancel(ctx)
			var at []time.Duration
			var logs bytes.Buffer
			c := &table.Cleaner{Name: "inbox", Every: time.Minute, Logger: slog.New(slog.NewTextHandler(&logs, nil)),
				Clean: func(context.Context) (int64, error) {
					at = append(at, time.Since(began))
					if len(at) == 2 {
						return 7, errors.New("away")
					}
					return 0, nil
				}}
			done := make(chan error, 1)
			go func() { done <- c.Run(ctx) }()
			time.Sleep(150 * time.Second)
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Run = %v, want nil", err)
			}
			if len(at) != 3 || at[0] != 0 || at[1] != time.Minute || at[2] != 2*time.Minute {
				t.Errorf("cleaned at %v, want 0, 1m and 2m", at)
			}
			if s := logs.String(); strings.Count(s, "\n") != 1 || !strings.Contains(s, "level=WARN") ||
				!strings.Contains(s, "removed=7") || !strings.Contains(s, "away") {
				t.Errorf("logged %q, want one warning with the error and what was removed", s)
			}
		})
	})
	t.Run("ItsEndIsNoFailure", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var logs bytes.Buffer
		c := &table.Cleaner{Every: time.Minute, Logger: slog.New(slog.NewTextHandler(&logs, nil)),
			Clean: func(ctx context.Context) (int64, error) { cancel(); return 0, ctx.Err() }}
		if err := c.Run(ctx); err != nil || logs.Len() != 0 {
			t.Errorf("Run = %v, logged %q, want nil and nothing", err, &logs)
		}
	})
	t.Run("SaysWhyItCannotRun", func(t *testing.T) {
		bad := errors.New("bad")
		if err := (&table.Cleaner{Err: bad}).Run(t.Context()); !errors.Is(err, bad) {
			t.Errorf("Run = %v, want %v", err, bad)
		}
	})
}

func TestInBatches(t *testing.T) {
	away := errors.New("away")
	for name, tt := range map[string]struct {
		removed []int64
		fails   error // of the last
		want    int64
		calls   int
	}{
		"Nothing":    {[]int64{0, 10}, nil, 0, 1},
		"Some":       {[]int64{9, 10}, nil, 9, 1},
		"OneBatch":   {[]int64{10, 0, 10}, nil, 10, 2},
		"Several":    {[]int64{10, 10, 3}, nil, 23, 3},
		"AndFailure": {[]int64{10, 10}, away, 20, 2},
	} {
		calls := 0
		got, err := table.InBatches(10, func() (int64, error) {
			calls++
			if calls == len(tt.removed) {
				return tt.removed[calls-1], tt.fails
			}
			return tt.removed[calls-1], nil
		})
		if got != tt.want || calls != tt.calls || !errors.Is(err, tt.fails) {
			t.Errorf("%s: %d in %d calls, %v, want %d in %d, %v", name, got, calls, err, tt.want, tt.calls, tt.fails)
		}
	}
}

func TestList(t *testing.T) {
	for _, tt := range []struct {
		d     sqlx.Dialect
		texts []string
		want  string
	}{
		{sqlx.Postgres, nil, `{}`},
		{sqlx.SQLite, nil, `[]`},
		{sqlx.Postgres, []string{"a", "", "b c"}, `{"a","","b c"}`},
		{sqlx.SQLite, []string{"a", "", "b c"}, `["a","","b c"]`},
		{sqlx.SQLite, []string{`"`, `\`, `\"`, "é"}, `["\"","\\","\\\"","é"]`},
	} {
		if got := table.List(tt.d, tt.texts); got != tt.want {
			t.Errorf("List(%v, %q) = %s, want %s", tt.d, tt.texts, got, tt.want)
		}
	}
}
