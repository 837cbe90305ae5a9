package admin

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"

	"github.com/mainstay-go/mainstay/tracing/logging"
)

const (
	// maxLevel bounds the body of a new level: "DEBUG-4" and the like.
	maxLevel = 32
	// maxLoggers bounds the names that this page sets, and maxLogger their length: each is kept for good, and every
	// change copies them all.
	maxLoggers = 1000
	maxLogger  = 256
)

// levels shows and changes log levels: that of all loggers, and those of loggers by name.
type levels struct {
	all    *slog.LevelVar  // nil is none
	byName *logging.Levels // nil is none
	logger *slog.Logger
}

// get writes the level that the request asks for, or where it names no logger the one of all, and then each of those
// that have their own.
func (l levels) get(w http.ResponseWriter, r *http.Request) {
	name, ok := l.named(w, r)
	if !ok {
		return
	}
	set := l.set()
	if name != "" {
		if level, ok := set[name]; ok {
			fmt.Fprintln(w, level)
			return
		}
		http.Error(w, "the logger has the level of all", http.StatusNotFound)
		return
	}
	if l.all != nil {
		fmt.Fprintln(w, l.all.Level())
	}
	for _, name := range slices.Sorted(maps.Keys(set)) {
		fmt.Fprintf(w, "%v %q\n", set[name], name)
	}
}

func (l levels) put(w http.ResponseWriter, r *http.Request) {
	name, ok := l.named(w, r)
	if !ok {
		return
	}
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
	switch {
	case name != "":
		set := l.set()
		from, known := set[name]
		if !known && len(set) >= maxLoggers {
			http.Error(w, fmt.Sprintf("%d loggers have levels of their own already", maxLoggers), http.StatusConflict)
			return
		}
		l.byName.Set(name, to)
		l.changed(r, name, levelOf(from, known), to.String(), max(from, to))
	case l.all != nil:
		from := l.all.Level()
		l.all.Set(to)
		l.changed(r, "", from.String(), to.String(), max(from, to))
	default:
		http.Error(w, "levels are set by name here: ?logger=NAME", http.StatusNotFound)
		return
	}
	fmt.Fprintln(w, to)
}

// remove gives a logger the level of all again.
func (l levels) remove(w http.ResponseWriter, r *http.Request) {
	name, ok := l.named(w, r)
	switch {
	case !ok:
	case name == "":
		http.Error(w, "want a name: ?logger=NAME", http.StatusBadRequest)
	default:
		from, known := l.set()[name]
		l.byName.Unset(name)
		l.changed(r, name, levelOf(from, known), ofAll, from)
		w.WriteHeader(http.StatusNoContent)
	}
}

// named returns the name of the logger that r is about, "" for all, or answers that there is none such.
func (l levels) named(w http.ResponseWriter, r *http.Request) (name string, ok bool) {
	switch name = r.URL.Query().Get("logger"); {
	case name != "" && l.byName == nil:
		http.Error(w, "no levels by name here", http.StatusNotFound)
	case len(name) > maxLogger:
		http.Error(w, fmt.Sprintf("logger: must be at most %d bytes", maxLogger), http.StatusBadRequest)
	default:
		return name, true
	}
	return "", false
}

// set returns the levels by name.
func (l levels) set() map[string]slog.Level {
	if l.byName == nil {
		return nil
	}
	return l.byName.All()
}

// ofAll stands in the log for the level of a logger that has none of its own.
const ofAll = "that of all"

func levelOf(level slog.Level, known bool) string {
	if known {
		return level.String()
	}
	return ofAll
}

// changed logs a change, at the higher of the two levels, so that it is seen whichever way it goes.
func (l levels) changed(r *http.Request, name, from, to string, at slog.Level) {
	attrs := []slog.Attr{slog.String("from", from), slog.String("to", to)}
	if name != "" {
		attrs = append(attrs, slog.String("of", name))
	}
	l.logger.LogAttrs(r.Context(), max(at, slog.LevelInfo), "log level changed", attrs...)
}
