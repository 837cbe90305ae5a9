package main

import (
	"fmt"
	"time"
)

// effect is one row that a handler wrote.
type effect struct {
	message, key string
	seq          int64
	consumer     string
	at           time.Time
}

// verdict is what the effects say.
type verdict struct {
	sent     int // messages that the broker confirmed
	lost     int // of these, without an effect
	repeated int // effects beyond the first of their message
	most     int // effects of one message
	disorder int // effects that committed behind one of a later message of their key
	hands    int // consumers that had effects
	examples []string
}

// maxExamples bounds what is told of each kind.
const maxExamples = 5

// audit holds effects, those of a key in the order of their commits, against what was sent: of each key the messages 1
// to that number.
func audit(sent map[string]int64, effects []effect) verdict {
	var v verdict
	count := make(map[string]int, len(effects))
	latest := make(map[string]effect) // the highest number of a key so far
	hands := make(map[string]bool)
	for _, e := range effects {
		count[e.message]++
		hands[e.consumer] = true
		v.most = max(v.most, count[e.message])
		before, ok := latest[e.key]
		switch {
		case count[e.message] > 1:
			v.repeated++
			v.say(v.repeated, "%s has an effect once more, by %s at %s", e.message, e.consumer, clock(e.at))
		case ok && before.seq > e.seq:
			v.disorder++
			v.say(v.disorder, "%s by %s at %s came behind %s by %s at %s",
				e.message, e.consumer, clock(e.at), before.message, before.consumer, clock(before.at))
		}
		if !ok || e.seq > before.seq {
			latest[e.key] = e
		}
	}
	v.hands = len(hands)
	for key, n := range sent {
		v.sent += int(n)
		for seq := int64(1); seq <= n; seq++ {
			if id := (event{Key: key, Seq: seq}).id(); count[id] == 0 {
				v.lost++
				v.say(v.lost, "%s has no effect", id)
			}
		}
	}
	return v
}

// say keeps an example, the nth of its kind.
func (v *verdict) say(n int, format string, args ...any) {
	if n <= maxExamples {
		v.examples = append(v.examples, fmt.Sprintf(format, args...))
	}
}

func clock(t time.Time) string { return t.Format("15:04:05.000000") }
