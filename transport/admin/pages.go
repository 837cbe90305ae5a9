package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
)

// maxLevel bounds the body of a new level: "DEBUG-4" and the like.
const maxLevel = 32

// index lists the pages, and those of the options.
func index(more []string) http.Handler {
	var page strings.Builder
	page.WriteString("<!doctype html><title>admin</title><ul>\n")
	for _, path := range append([]string{
		"metrics", "livez", "readyz", "log/level", "buildinfo", "debug/pprof/",
	}, more...) {
		path = html.EscapeString(strings.TrimPrefix(path, "/"))
		fmt.Fprintf(&page, "<li><a href=\"%s\">%s</a>\n", path, path)
	}
	page.WriteString("</ul>\n")
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, page.String())
	})
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
