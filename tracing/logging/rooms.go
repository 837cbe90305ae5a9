package logging

import (
	"log/slog"
	"sync"
)

// maxRoom bounds the rooms that are kept, in attributes: about 10 kB.
const maxRoom = 256

// rooms are slices for attributes, which would be an allocation a record.
type rooms struct{ pool sync.Pool }

// mayKeep reports whether next may keep what is in groups after Handle: only slog's own are known not to.
func mayKeep(next slog.Handler) bool {
	switch next.(type) {
	case *slog.JSONHandler, *slog.TextHandler:
		return false
	}
	return true
}

// get returns an empty room, for put to take back.
func (s *rooms) get() *[]slog.Attr {
	if room, ok := s.pool.Get().(*[]slog.Attr); ok {
		return room
	}
	return new(make([]slog.Attr, 0, 16))
}

// put takes back what get returned, and what it became as it grew. It is not emptied: the next record does that, or the
// garbage collector, which takes what was not used between two of its runs.
func (s *rooms) put(room *[]slog.Attr, grown []slog.Attr) {
	if cap(grown) <= maxRoom {
		*room = grown[:0]
		s.pool.Put(room)
	}
}
