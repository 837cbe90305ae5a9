package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
)

// maxLevel bounds the body of a new level: "DEBUG-4" and the like.
const maxLevel = 32

func index(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = io.WriteString(w, `<!doctype html><title>admin</title><ul>
<li><a href="metrics">metrics</a>
<li><a href="livez">livez</a>
<li><a href="readyz">readyz</a>
<li><a href="log/level">log/level</a>
<li><a href="buildinfo">buildinfo</a>
<li><a href="debug/pprof/">debug/pprof</a>
</ul>
`)
}

func buildInfo(w http.ResponseWriter, _ *http.Request) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		http.Error(w, "built without module support", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(info) // strings; and who reads it may leave
}

// level shows and changes a log level.
type level struct {
	at     *slog.LevelVar
	logger *slog.Logger
}

func (l level) get(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, l.at.Level()) }

func (l level) put(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxLevel))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var to slog.Level
	if err := to.UnmarshalText(bytes.TrimSpace(body)); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	from := l.at.Level()
	l.at.Set(to)
	// At the higher of the two, so that the change is seen whichever way it goes.
	l.logger.LogAttrs(r.Context(), max(from, to, slog.LevelInfo), "log level changed",
		slog.String("from", from.String()), slog.String("to", to.String()))
	l.get(w, r)
}
