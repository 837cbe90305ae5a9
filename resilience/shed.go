package resilience

import (
	"sync/atomic"
	"time"
)

const defaultConcurrency = 1000

// ShedderOptions of a [Shedder]. Nil options are the defaults of every field.
type ShedderOptions struct {
	// Limit is how many may run at once. Find it by a load test: what the service can hold while its slowest answers are
	// still fast enough. Zero means 1,000; negative means no limit.
	Limit int
}

// Shedder refuses what a process has no room for, the least important first: priorities below 0 while more than half of
// the limit is taken, 0 while more than nine tenths are, and those above 0 when it is full. Work that is refused at
// once costs little; work that is queued until its caller has left costs as much as any. The limit is fixed. It is
// safe for concurrent use.
type Shedder struct {
	limit   int64
	running atomic.Int64
}

// NewShedder returns a shedder. Nil options are defaults.
func NewShedder(o *ShedderOptions) *Shedder {
	s := &Shedder{limit: defaultConcurrency}
	if o != nil && o.Limit != 0 {
		s.limit = int64(o.Limit)
	}
	return s
}

// Enter reports whether there is room for one more of that priority. Where it says yes, call Leave when it has ended.
func (s *Shedder) Enter(priority int) bool {
	for room := s.room(priority); ; {
		n := s.running.Load()
		if s.limit > 0 && n >= room {
			return false
		}
		if s.running.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Leave gives the room back. How long the work took and whether it failed by overload are what a limit that adapts will
// learn from.
func (s *Shedder) Leave(_ time.Duration, _ bool) { s.running.Add(-1) }

// Running returns how many run.
func (s *Shedder) Running() int { return int(s.running.Load()) }

func (s *Shedder) room(priority int) int64 {
	switch {
	case priority < 0:
		return (s.limit + 1) / 2
	case priority == 0:
		return (s.limit*9 + 9) / 10
	}
	return s.limit
}
