package logging

import (
	"log/slog"
	"sync"
)

// What is kept of rooms, in attributes (about 10 kB) and in bytes.
const (
	maxRoom = 256
	maxLine = 16 << 10
)

// room is for what is put together of one record.
type room struct {
	attrs []slog.Attr
	line  []byte
}

// rooms are used again: each would be an allocation a record.
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
func (s *rooms) get() *room {
	if room, ok := s.pool.Get().(*room); ok {
		return room
	}
	return &room{attrs: make([]slog.Attr, 0, 16)}
}

// put takes back what get returned, and what its attributes became as they grew. It is not emptied: the next record
// does that, or the garbage collector, which takes what was not used between two of its runs.
func (s *rooms) put(room *room, grown []slog.Attr) {
	if cap(grown) <= maxRoom && cap(room.line) <= maxLine {
		room.attrs = grown[:0]
		s.pool.Put(room)
	}
}
