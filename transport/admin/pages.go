package admin

import (
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"runtime/debug"
	"strings"
)

// index lists the pages, and those of the options.
func index(more []string) http.Handler {
	var page strings.Builder
	page.WriteString("<!doctype html><title>admin</title><ul>\n")
	for _, path := range append([]string{
		"metrics", "livez", "startupz", "readyz", "log/level", "buildinfo", "debug/runtime", "debug/pprof/",
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
	writeJSON(w, info)
}

// writeJSON writes v, which always encodes, for people.
func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(v) // who reads it may leave
}
