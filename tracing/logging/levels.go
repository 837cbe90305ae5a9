package logging

import (
	"log/slog"
	"maps"
	"math"
	"sync"
	"sync/atomic"
)

// loggerAttr is the attribute that names a logger.
const loggerAttr = "logger"

// Levels has the levels of loggers by name, to change at run time. A logger is named by a top-level attribute of the key
// "logger" and a string: log.With("logger", "orders"), which takes no import of this package. The last name given is
// the one that counts; an attribute of a single record names nothing. Names are compared as they are: "orders" says
// nothing of "orders.outbox".
//
// The zero Levels has no level for any name. It is safe for concurrent use, must not be copied, and holds only the names
// that were set: a program may name its loggers by anything.
type Levels struct {
	mu     sync.Mutex // held by writers
	byName atomic.Pointer[map[string]slog.Level]
}

// Set makes level the lowest that loggers of that name write, those that exist too. The empty name is no logger's.
func (l *Levels) Set(name string, level slog.Level) {
	l.change(func(byName map[string]slog.Level) { byName[name] = level })
}

// Unset gives loggers of that name the level of all others again.
func (l *Levels) Unset(name string) {
	l.change(func(byName map[string]slog.Level) { delete(byName, name) })
}

// All returns the levels that are set, by name, in a map of the caller's own.
func (l *Levels) All() map[string]slog.Level {
	all := map[string]slog.Level{}
	if byName := l.byName.Load(); byName != nil {
		maps.Copy(all, *byName)
	}
	return all
}

// change replaces the map by a changed copy: readers take no lock.
func (l *Levels) change(f func(map[string]slog.Level)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	byName := map[string]slog.Level{}
	if old := l.byName.Load(); old != nil {
		maps.Copy(byName, *old)
	}
	f(byName)
	l.byName.Store(&byName)
}

// of returns the level of a name, and whether it has one. A nil l has none.
func (l *Levels) of(name string) (slog.Level, bool) {
	if l == nil || name == "" {
		return 0, false
	}
	byName := l.byName.Load()
	if byName == nil {
		return 0, false
	}
	level, ok := (*byName)[name]
	return level, ok
}

// everything is a level below all others.
const everything = slog.Level(math.MinInt)

// nameAmong returns the name that attrs give to a logger, or name when they give none.
func nameAmong(attrs []slog.Attr, name string) string {
	for _, a := range attrs {
		if a.Key == loggerAttr && a.Value.Kind() == slog.KindString {
			name = a.Value.String()
		}
	}
	return name
}
