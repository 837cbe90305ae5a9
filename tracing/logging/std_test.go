package logging_test

import (
	"bytes"
	"log"
	"log/slog"
	"testing"

	"github.com/mainstay-go/mainstay/tracing/logging"
)

// The standard library joins its log package with a slog.Handler, so this package does not: these are the claims of its
// documentation about lines that come that way.
func TestLinesOfTheStandardLog(t *testing.T) {
	line := func(t *testing.T, buf *bytes.Buffer, level, msg string) {
		t.Helper()
		got := decode(t, buf.Bytes()) // more than one line is no JSON
		if delete(got, "time"); len(got) != 2 || got["level"] != level || got["msg"] != msg {
			t.Errorf("got %v, want level %s and msg %q alone", got, level, msg)
		}
		buf.Reset()
	}

	t.Run("OfALoggerMadeForIt", func(t *testing.T) {
		var buf bytes.Buffer
		level := new(slog.LevelVar)
		h := logging.New(&buf, &logging.Options{Level: level}).Handler()
		l := slog.NewLogLogger(h, slog.LevelWarn) // http.Server.ErrorLog is one
		l.Printf("http: TLS handshake error from %s\n", "10.0.0.1")
		line(t, &buf, "WARN", "http: TLS handshake error from 10.0.0.1")
		l.Print("two\nlines")
		line(t, &buf, "WARN", "two\nlines")
		level.Set(slog.LevelError)
		if l.Print("not written"); buf.Len() != 0 {
			t.Errorf("got %s, want nothing below the level", &buf)
		}
	})

	t.Run("OfTheDefaultLogger", func(t *testing.T) {
		was, flags, prefix, out := slog.Default(), log.Flags(), log.Prefix(), log.Writer()
		t.Cleanup(func() {
			slog.SetDefault(was)
			log.SetFlags(flags) // SetDefault redirected the log package too
			log.SetPrefix(prefix)
			log.SetOutput(out)
		})
		var buf bytes.Buffer
		slog.SetDefault(logging.New(&buf, nil))
		log.Printf("paid %d", 5)
		line(t, &buf, "INFO", "paid 5")
		log.Print("abc\r\nlevel=ERROR")
		line(t, &buf, "INFO", "abc\r\nlevel=ERROR")
	})
}
