package logging

import (
	"log/slog"
	"sync"
)

// maxRoom bounds the rooms that are kept, in attributes: about 10 kB.
const maxRoom = 256

// rooms are slices for what is in open groups, which would be an allocation a record. A nil rooms makes each anew.
type rooms struct{ pool sync.Pool }

// newRooms returns nil where next may keep what it is given after Handle: only slog's own are known not to.
func newRooms(next slog.Handler) *rooms {
	switch next.(type) {
	case *slog.JSONHandler, *slog.TextHandler:
		return &rooms{}
	}
	return nil
}

// get returns a room for n attributes. What is in it is left from before.
func (s *rooms) get(n int) *[]slog.Attr {
	if s != nil {
		if room, ok := s.pool.Get().(*[]slog.Attr); ok && cap(*room) >= n {
			*room = (*room)[:n]
			return room
		}
	}
	room := make([]slog.Attr, n, max(n, 16))
	return &room
}

// put takes back what get returned. It is not emptied: the next record does that, or the garbage collector, which takes
// what was not used between two of its runs.
func (s *rooms) put(room *[]slog.Attr) {
	if s != nil && cap(*room) <= maxRoom {
		s.pool.Put(room)
	}
}
