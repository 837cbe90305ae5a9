package logging

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// repeatedAttr is the attribute that has the number of records that were withheld.
const repeatedAttr = "repeated"

// What a sampler remembers at most: about 300 kB.
const (
	maxLines     = 1024
	maxLineBytes = 256
)

// Sample bounds how often one line is written. Records below slog.LevelError with the same level and message are one
// line, whatever their attributes and their logger; messages are told apart by their first 256 bytes.
//
// An interval begins with a line's first record. First of them are written, the rest are counted. The count is written
// once the interval is over, as the attribute "repeated" at the top level: of the line's next record, or, when another
// record comes first, of a record of its own that has the line's level and message and nothing else. There is no
// goroutine that waits for the end: where nothing is logged any more, the last counts are not written.
//
// Errors are always written: each may be the one that somebody looks for. So is what comes when 1024 lines are being
// counted: messages that are made of data take no memory without bound, and hide nothing.
type Sample struct {
	// Interval is how long the records of a line are counted together. Zero or negative is off.
	Interval time.Duration
	// First is how many records of a line are written in an interval. Zero or negative means 1.
	First int
}

// sampler counts lines. It is safe for concurrent use.
type sampler struct {
	next     slog.Handler // for the counts of lines that do not come again
	interval time.Duration
	first    int

	mu    sync.Mutex
	lines map[lineKey]*line
	queue []*line // of lines, in the order in which their intervals end
}

type lineKey struct {
	level   slog.Level
	message string
}

type line struct {
	lineKey
	end   time.Time
	count int // of the records in the interval
}

// newSampler returns a sampler, or nil when o is off.
func newSampler(next slog.Handler, o Sample) *sampler {
	if o.Interval <= 0 {
		return nil
	}
	return &sampler{next: next, interval: o.Interval, first: max(o.First, 1), lines: map[lineKey]*line{}}
}

// admit reports whether to write a record, and how many like it were withheld before. It writes the counts that are due
// of other lines.
func (s *sampler) admit(ctx context.Context, level slog.Level, message string) (withheld int, pass bool, err error) {
	now := time.Now()
	withheld, pass, due := s.count(now, level, message)
	for _, l := range due {
		if !s.next.Enabled(ctx, l.level) {
			continue
		}
		summary := slog.NewRecord(now, l.level, l.message, 0)
		summary.AddAttrs(slog.Int(repeatedAttr, l.count-s.first))
		err = errors.Join(err, s.next.Handle(ctx, summary))
	}
	return withheld, pass, err
}

// count counts a record and returns what became due, which is no longer in the sampler.
func (s *sampler) count(now time.Time, level slog.Level, message string) (withheld int, pass bool, due []*line) {
	key := lineKey{level, message[:min(len(message), maxLineBytes)]}
	s.mu.Lock()
	defer s.mu.Unlock()

	for len(s.queue) > 0 && !now.Before(s.queue[0].end) {
		l := s.queue[0]
		s.queue[0], s.queue = nil, s.queue[1:]
		delete(s.lines, l.lineKey)
		switch {
		case l.count <= s.first:
		case l.lineKey == key:
			withheld = l.count - s.first
		default:
			due = append(due, l)
		}
	}
	if level >= slog.LevelError {
		return 0, true, due
	}
	l := s.lines[key]
	if l == nil {
		if len(s.lines) >= maxLines {
			return 0, true, due
		}
		// A copy: the message may be a small part of something large.
		l = &line{lineKey: lineKey{level, strings.Clone(key.message)}, end: now.Add(s.interval)}
		s.lines[l.lineKey] = l
		s.queue = append(s.queue, l)
	}
	l.count++
	return withheld, l.count <= s.first, due
}
