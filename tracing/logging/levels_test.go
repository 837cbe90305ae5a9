package logging_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"testing"
	"testing/slogtest"

	"github.com/mainstay-go/mainstay/tracing/logging"
)

func TestLevels(t *testing.T) {
	// lowest returns the lowest of slog's levels that l writes.
	lowest := func(l *slog.Logger) string {
		for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
			if l.Enabled(t.Context(), level) {
				return level.String()
			}
		}
		return "none"
	}

	t.Run("ChangeALoggerOfThatNameAtRunTime", func(t *testing.T) {
		var buf bytes.Buffer
		var levels logging.Levels
		level := new(slog.LevelVar)
		root := logging.New(&buf, &logging.Options{Level: level, Levels: &levels})
		orders := root.With("logger", "orders")
		heirs := []*slog.Logger{orders, orders.With("k", 1), orders.WithGroup("g").With("k", 1)}
		others := []*slog.Logger{root, root.With("logger", "orders.outbox"), root.With("logger", ""), root.With("name", "orders")}

		for _, step := range []struct {
			do           func()
			heirs, other string
		}{
			{func() {}, "INFO", "INFO"},
			{func() { levels.Set("orders", slog.LevelDebug) }, "DEBUG", "INFO"},
			{func() { levels.Set("orders", slog.LevelError) }, "ERROR", "INFO"},
			{func() { levels.Set("", slog.LevelDebug) }, "ERROR", "INFO"},
			{func() { level.Set(slog.LevelWarn) }, "ERROR", "WARN"},
			{func() { levels.Unset("orders") }, "WARN", "WARN"},
			{func() { levels.Unset("never set") }, "WARN", "WARN"},
		} {
			step.do()
			for i, l := range heirs {
				if got := lowest(l); got != step.heirs {
					t.Errorf("heir %d: got %s, want %s", i, got, step.heirs)
				}
			}
			for i, l := range others {
				if got := lowest(l); got != step.other {
					t.Errorf("other %d: got %s, want %s", i, got, step.other)
				}
			}
		}
	})

	t.Run("AreToldByName", func(t *testing.T) {
		var levels logging.Levels
		if got := levels.All(); len(got) != 0 {
			t.Errorf("got %v, want none", got)
		}
		levels.Set("a", slog.LevelDebug)
		levels.Set("b", slog.LevelError)
		levels.Unset("a")
		all := levels.All()
		if want := map[string]slog.Level{"b": slog.LevelError}; !maps.Equal(all, want) {
			t.Errorf("got %v, want %v", all, want)
		}
		all["b"] = slog.LevelDebug
		if got := levels.All()["b"]; got != slog.LevelError {
			t.Errorf("a change of the answer changed the level to %v", got)
		}
	})
	t.Run("AreWrittenWithTheName", func(t *testing.T) {
		for _, format := range []logging.Format{logging.JSON, logging.Text} {
			var buf bytes.Buffer
			var levels logging.Levels
			levels.Set("orders", slog.LevelDebug)
			l := logging.New(&buf, &logging.Options{Format: format, Levels: &levels})
			l.Debug("no")
			l.With("logger", "orders").Debug("yes")
			if got := buf.String(); bytes.Count(buf.Bytes(), []byte("\n")) != 1 || !bytes.Contains(buf.Bytes(), []byte("orders")) {
				t.Errorf("got %s, want the named logger's record alone", got)
			}
		}
	})

	t.Run("GoByTheLastNameAtTheTopLevel", func(t *testing.T) {
		var levels logging.Levels
		levels.Set("a", slog.LevelDebug)
		levels.Set("b", slog.LevelError)
		levels.Set("1", slog.LevelError)
		root := logging.New(&bytes.Buffer{}, &logging.Options{Levels: &levels})
		for name, c := range map[string]struct {
			l    *slog.Logger
			want string
		}{
			"the last of two":       {root.With("logger", "a").With("logger", "b"), "ERROR"},
			"the last of one call":  {root.With("logger", "b", "logger", "a"), "DEBUG"},
			"none within a group":   {root.WithGroup("g").With("logger", "a"), "INFO"},
			"none that is no text":  {root.With("logger", 1), "INFO"},
			"the one above a group": {root.With("logger", "b").WithGroup("g").With("logger", "a"), "ERROR"},
		} {
			if got := lowest(c.l); got != c.want {
				t.Errorf("%s: got %s, want %s", name, got, c.want)
			}
		}
	})

	t.Run("OverAnotherHandlerBothDecide", func(t *testing.T) {
		var levels logging.Levels
		levels.Set("a", slog.LevelDebug)
		levels.Set("b", slog.LevelError)
		next := slog.NewJSONHandler(&bytes.Buffer{}, &slog.HandlerOptions{Level: slog.LevelWarn})
		root := slog.New(logging.NewHandler(next, &logging.Options{Levels: &levels}))
		for name, want := range map[string]string{"": "WARN", "a": "WARN", "b": "ERROR"} {
			if got := lowest(root.With("logger", name)); got != want {
				t.Errorf("%q: got %s, want %s", name, got, want)
			}
		}
	})

	t.Run("ChangeWhileOthersLog", func(t *testing.T) {
		var levels logging.Levels
		root := logging.New(nowhere{}, &logging.Options{Levels: &levels})
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				for n := range 200 {
					name := fmt.Sprint(i, n)
					levels.Set(name, slog.LevelDebug)
					root.With("logger", name).Debug("m")
				}
			})
		}
		wg.Wait()
		for i := range 4 {
			for n := range 200 {
				if got := lowest(root.With("logger", fmt.Sprint(i, n))); got != "DEBUG" {
					t.Fatalf("%d %d: got %s, want DEBUG", i, n, got)
				}
			}
		}
	})

	t.Run("KeepTheRulesOfSlog", func(t *testing.T) {
		var buf bytes.Buffer
		slogtest.Run(t, func(*testing.T) slog.Handler {
			buf.Reset()
			return logging.New(&buf, &logging.Options{Levels: new(logging.Levels)}).Handler()
		}, func(t *testing.T) map[string]any { return decode(t, buf.Bytes()) })
	})
}

func BenchmarkLevels(b *testing.B) {
	var levels logging.Levels
	levels.Set("orders", slog.LevelWarn)
	for name, l := range map[string]*slog.Logger{
		"Off":     logging.New(nowhere{}, nil).With("logger", "orders"),
		"Unnamed": logging.New(nowhere{}, &logging.Options{Levels: &levels}),
		"Named":   logging.New(nowhere{}, &logging.Options{Levels: &levels}).With("logger", "orders"),
	} {
		b.Run(name, func(b *testing.B) {
			ctx := traced(b)
			b.ReportAllocs()
			for b.Loop() {
				l.LogAttrs(ctx, slog.LevelDebug, "not written")
			}
		})
	}
}
