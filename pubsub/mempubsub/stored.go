package mempubsub

import (
	"slices"
	"strconv"
	"time"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// stored is one published message, shared by the queues that hold it.
type stored struct {
	driver.Message
	seq       uint64
	position  string
	published time.Time
}

const (
	// together is how many messages share their allocations, and so live as long as the last of them.
	together = 16
	// togetherBytes bounds the payload of a message that shares its allocation.
	togetherBytes = 1 << 10
)

// store returns ms as t keeps them, with copies of their payloads.
func (t *topic) store(ms []driver.Message, now time.Time) []*stored {
	kept := make([]*stored, 0, len(ms))
	for part := range slices.Chunk(ms, together) {
		kept = t.storePart(kept, part, now)
	}
	return kept
}

func (t *topic) storePart(kept []*stored, ms []driver.Message, now time.Time) []*stored {
	room := make([]stored, len(ms))
	payload := make([]byte, 0, payloadOf(ms))
	names := make([]byte, 0, len(ms)*(len(t.name)+8))
	for i, m := range ms {
		t.seq++
		switch {
		case m.Data == nil:
		case len(m.Data) <= togetherBytes:
			start := len(payload)
			payload = append(payload, m.Data...)
			m.Data = payload[start:len(payload):len(payload)]
		default:
			m.Data = slices.Clone(m.Data)
		}
		names = append(append(names, t.name...), '/')
		names = strconv.AppendUint(names, t.seq, 10)
		room[i] = stored{Message: m, seq: t.seq, published: now}
		kept = append(kept, &room[i])
	}
	// One string for all of them, in which each has its place.
	rest := string(names)
	for i := range room {
		n := len(t.name) + 1 + digits(room[i].seq)
		room[i].position, rest = rest[:n], rest[n:]
	}
	return kept
}

// payloadOf returns how many bytes of payload ms share.
func payloadOf(ms []driver.Message) int {
	n := 0
	for _, m := range ms {
		if len(m.Data) <= togetherBytes {
			n += len(m.Data)
		}
	}
	return n
}

// digits returns the length of n in decimal.
func digits(n uint64) int {
	d := 1
	for ; n >= 10; n /= 10 {
		d++
	}
	return d
}
