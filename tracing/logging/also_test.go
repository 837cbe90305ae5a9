package logging_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/mainstay-go/mainstay/tracing/logging"
)

// broken is a handler that fails, and counts how often.
type broken struct {
	slog.Handler
	err    error
	failed int
}

func (*broken) Enabled(context.Context, slog.Level) bool { return true }

func (h *broken) Handle(context.Context, slog.Record) error {
	h.failed++
	return h.err
}

func TestAlso(t *testing.T) {
	t.Run("GetsEveryRecordAsItIsWritten", func(t *testing.T) {
		var main, also bytes.Buffer
		tenant := func(context.Context) []slog.Attr { return []slog.Attr{slog.String("tenant", "acme")} }
		l := logging.New(&main, &logging.Options{
			Attrs: []func(context.Context) []slog.Attr{tenant},
			Also:  []slog.Handler{nil, slog.NewJSONHandler(&also, nil)},
		})
		l = l.With("a", 1).WithGroup("g").With("password", "hunter2")
		l.InfoContext(traced(t), "m", "token", "hunter2", "k", 2)
		l.DebugContext(traced(t), "not written")
		if main.String() != also.String() {
			t.Errorf("got %s and %s, want the same", &main, &also)
		}
		want := `"a":1,` + ids + `,"tenant":"acme","g":{"password":"[REDACTED]","token":"[REDACTED]","k":2}}` + "\n"
		if got := also.String(); !strings.HasSuffix(got, want) || strings.Count(got, "\n") != 1 {
			t.Errorf("got  %s\nwant %s at the end of one line", got, want)
		}
	})

	t.Run("FailsAlone", func(t *testing.T) {
		var main, last bytes.Buffer
		failing := &broken{err: errors.New("collector is down")}
		o := &logging.Options{Also: []slog.Handler{failing, slog.NewJSONHandler(&last, nil)}}
		err := logging.New(&main, o).Handler().Handle(t.Context(), slog.NewRecord(time.Time{}, slog.LevelInfo, "m", 0))
		if !errors.Is(err, failing.err) {
			t.Errorf("got %v, want %v", err, failing.err)
		}
		for _, got := range []string{main.String(), last.String()} {
			if want := `{"level":"INFO","msg":"m"}` + "\n"; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
	})

	t.Run("GetsRecordsThatTheWriterLoses", func(t *testing.T) {
		var also bytes.Buffer
		h := logging.NewHandler(&broken{err: errors.New("disk full")}, &logging.Options{
			Also: []slog.Handler{slog.NewTextHandler(&also, nil)},
		})
		slog.New(h).Info("kept")
		if !strings.Contains(also.String(), "kept") {
			t.Errorf("got %q, want the record", &also)
		}
	})

	t.Run("IsBoundByTheLoggersLevelAndItsOwn", func(t *testing.T) {
		var main, all, warn bytes.Buffer
		var levels logging.Levels
		l := logging.New(&main, &logging.Options{Levels: &levels, Also: []slog.Handler{
			slog.NewTextHandler(&all, &slog.HandlerOptions{Level: slog.LevelDebug}),
			slog.NewTextHandler(&warn, &slog.HandlerOptions{Level: slog.LevelWarn}),
		}})
		levels.Set("noisy", slog.LevelError)
		levels.Set("watched", slog.LevelDebug)
		l.Debug("no")
		l.Info("a")
		l.With("logger", "noisy").Warn("no")
		l.With("logger", "watched").Debug("b")
		l.Warn("c")
		for name, c := range map[string]struct{ got, want string }{
			"the writer": {messages(main.String(), `"msg":"`), "a b c"},
			"all":        {messages(all.String(), "msg="), "a b c"},
			"warn":       {messages(warn.String(), "msg="), "c"},
		} {
			if c.got != c.want {
				t.Errorf("%s: got %s, want %s", name, c.got, c.want)
			}
		}
	})

	t.Run("GetsTheCountsOfRepeatedLines", func(t *testing.T) {
		var also bytes.Buffer
		l := logging.New(&bytes.Buffer{}, &logging.Options{
			Sample: logging.Sample{Interval: time.Hour}, Also: []slog.Handler{slog.NewTextHandler(&also, nil)},
		})
		for range 10 {
			l.Info("same")
		}
		if got := strings.Count(also.String(), "msg=same"); got != 1 {
			t.Errorf("got %d records, want 1", got)
		}
	})

	t.Run("KeepsWhatItWasGiven", func(t *testing.T) {
		kept := &keeper{}
		h := logging.New(&bytes.Buffer{}, &logging.Options{Also: []slog.Handler{withNothing{kept}}}).Handler()
		l := slog.New(h).WithGroup("g")
		l.Info("m", "k", 1)
		l.Info("m", "k", 2)
		for i, r := range kept.records {
			r.Attrs(func(a slog.Attr) bool {
				if got := a.Value.Group()[0].Value.Int64(); got != int64(i+1) {
					t.Errorf("record %d: got k %d, want %d", i, got, i+1)
				}
				return true
			})
		}
		if len(kept.records) != 2 {
			t.Errorf("got %d records, want 2", len(kept.records))
		}
	})
}

// withNothing is a handler whose heirs are itself.
type withNothing struct{ *keeper }

func (h withNothing) WithAttrs([]slog.Attr) slog.Handler { return h }
func (h withNothing) WithGroup(string) slog.Handler      { return h }

// messages returns the one-letter messages of lines, which come after the text before.
func messages(lines, before string) string {
	var got []string
	for line := range strings.Lines(lines) {
		_, rest, _ := strings.Cut(line, before)
		got = append(got, strings.TrimRight(rest[:2], `" `+"\n"))
	}
	return strings.Join(got, " ")
}
