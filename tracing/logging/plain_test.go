package logging_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mainstay-go/mainstay/tracing/logging"
)

// FuzzLine compares whole lines of New with those of slog.JSONHandler, byte for byte: what is written here and what is
// left to slog must not be told apart.
func FuzzLine(f *testing.F) {
	for _, s := range []string{
		"", "plain ~", `"`, `\`, "\x00", "\x1f", "\x7f", "\n", "é", "\xff", "\u2028", "<&>", "a,\"b\":1", "time", "level",
	} {
		f.Add(s, "key", "value", int64(1), 4, int64(0))
		f.Add("m", s, "value", int64(-1), -3, int64(1<<60))
		f.Add("m", "key", s, int64(0), 0, int64(1764068400123456789))
	}
	zone := time.FixedZone("odd", -3*3600-1800)
	f.Fuzz(func(t *testing.T, msg, key, value string, n int64, level int, at int64) {
		var kit, want bytes.Buffer
		opts := &slog.HandlerOptions{Level: slog.Level(-1 << 40)}
		ours := logging.New(&kit, &logging.Options{Level: opts.Level, Redact: []string{}}).Handler()
		theirs := slog.Handler(slog.NewJSONHandler(&want, opts))
		for i, attr := range []slog.Attr{
			{}, slog.String(key, value), slog.Int64(key, n), slog.Uint64("u", uint64(n)), slog.Bool("b", n > 0),
			slog.Duration("d", time.Duration(n)), slog.Time("t", time.Unix(0, n)), slog.Float64("f", float64(n)/3),
			slog.Any("e", errors.New(value)), slog.Any("nil", nil), slog.Group(key, slog.String(key, value)),
			slog.Any("v", logging.NewSecret(value)), slog.Any("a", []int64{n}),
		} {
			for _, when := range []time.Time{{}, time.Unix(0, at), time.Unix(0, at).In(zone), time.Unix(at, 0).UTC()} {
				r := slog.NewRecord(when, slog.Level(level), msg, 0)
				r.AddAttrs(slog.String("first", "x"), attr, slog.Int("last", i))
				for _, h := range []slog.Handler{ours, theirs} {
					for _, heir := range []slog.Handler{
						h, h.WithAttrs([]slog.Attr{attr}),
						h.WithAttrs([]slog.Attr{slog.Int("i", i)}).WithAttrs([]slog.Attr{attr, slog.String("s", value)}),
					} {
						if err := heir.Handle(t.Context(), r); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			if kit.String() != want.String() {
				t.Fatalf("got  %s\nwant %s", &kit, &want)
			}
		}
	})
}

func TestPlainLine(t *testing.T) {
	t.Run("IsWrittenInOnePieceBesideOthers", func(t *testing.T) {
		var buf bytes.Buffer
		l := logging.New(&buf, nil)
		named := l.With("name", "n")
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				l.InfoContext(traced(t), "plain", "i", i)
				named.InfoContext(traced(t), `"quoted"`, "i", i)
			})
		}
		wg.Wait()
		lines := strings.Split(strings.TrimSpace(buf.String()), "\n")
		if len(lines) != 200 {
			t.Errorf("got %d lines, want 200", len(lines))
		}
		for _, line := range lines {
			if !json.Valid([]byte(line)) {
				t.Fatalf("got %q, want JSON", line)
			}
		}
	})

	t.Run("HidesSecrets", func(t *testing.T) {
		var buf bytes.Buffer
		logging.New(&buf, nil).With("api_key", "hunter2").Info("m", "access_token", "hunter2", "k", 1)
		const want = `"api_key":"[REDACTED]","access_token":"[REDACTED]","k":1}` + "\n"
		if got := buf.String(); !strings.HasSuffix(got, want) || strings.Contains(got, "hunter2") {
			t.Errorf("got %s, want it to end with %s", got, want)
		}
	})

	t.Run("ReturnsTheErrorOfTheWriter", func(t *testing.T) {
		broken := errors.New("broken")
		h := logging.New(refusing{broken}, nil).Handler()
		if err := h.Handle(t.Context(), slog.NewRecord(time.Time{}, slog.LevelInfo, "m", 0)); !errors.Is(err, broken) {
			t.Errorf("got %v, want %v", err, broken)
		}
	})
}

type refusing struct{ err error }

func (f refusing) Write([]byte) (int, error) { return 0, f.err }
