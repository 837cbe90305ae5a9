package kafkapubsub

import (
	"errors"
	"slices"
	"strconv"
	"strings"
)

// removed is a set of offsets of one partition.
type removed struct {
	below  int64  // all before this one
	ranges []span // beyond it, ascending, apart from one another
}

// span is the offsets from first to before end.
type span struct{ first, end int64 }

func (r *removed) has(offset int64) bool {
	return offset < r.below ||
		slices.ContainsFunc(r.ranges, func(s span) bool { return s.first <= offset && offset < s.end })
}

func (r *removed) add(offset int64) {
	if r.has(offset) {
		return
	}
	at, _ := slices.BinarySearchFunc(r.ranges, offset, func(s span, o int64) int {
		if s.first < o {
			return -1
		}
		return 1
	})
	r.ranges = slices.Insert(r.ranges, at, span{offset, offset + 1})
	r.merge()
}

// raise adds all before offset: the log begins there.
func (r *removed) raise(offset int64) {
	r.below = max(r.below, offset)
	r.merge()
}

// merge joins what touches.
func (r *removed) merge() {
	var apart []span
	for _, s := range r.ranges {
		switch last := len(apart) - 1; {
		case s.first <= r.below:
			r.below = max(r.below, s.end)
		case last >= 0 && s.first <= apart[last].end:
			apart[last].end = max(apart[last].end, s.end)
		default:
			apart = append(apart, s)
		}
	}
	r.ranges = apart
}

// String returns the ranges in as few bytes as text allows: for each, the gap before it and its length, in base 36.
func (r *removed) String() string {
	var b strings.Builder
	at := r.below
	for i, s := range r.ranges {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.FormatInt(s.first-at, 36))
		if n := s.end - s.first; n > 1 {
			b.WriteByte('+')
			b.WriteString(strconv.FormatInt(n, 36))
		}
		at = s.end
	}
	return b.String()
}

var errRemoved = errors.New("the committed metadata are not what Remove writes")

// parseRemoved reads what String wrote.
func parseRemoved(below int64, text string) (removed, error) {
	r := removed{below: below}
	if text == "" {
		return r, nil
	}
	at := below
	for part := range strings.SplitSeq(text, ",") {
		gapText, lengthText, long := strings.Cut(part, "+")
		gap, err := strconv.ParseInt(gapText, 36, 48)
		length := int64(1)
		if err == nil && long {
			length, err = strconv.ParseInt(lengthText, 36, 48)
		}
		if err != nil || gap < 1 || length < 1 || at < 0 {
			return removed{}, errRemoved
		}
		r.ranges = append(r.ranges, span{at + gap, at + gap + length})
		at += gap + length
	}
	return r, nil
}
