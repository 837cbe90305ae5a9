package pubsub

import (
	"crypto/rand"
	"encoding/hex"
	"strings"

	"github.com/google/uuid"
)

// newID makes a UUIDv7.
func newID() string {
	id, err := uuid.NewV7()
	if err != nil {
		// crypto/rand never fails since Go 1.24.
		panic("pubsub: no randomness: " + err.Error())
	}
	return id.String()
}

const (
	idBytes  = len(uuid.UUID{})
	idLength = 36 // of its text
)

// mint makes the IDs of the messages of one call: UUIDv7 in the order of their numbers. Each has randomness of its own
// from one read, and their texts are one piece of memory: made one by one, they cost more than all the rest of a message.
type mint struct {
	random []byte
	first  uuid.UUID // what the next IDs count up from
	made   uint64
	text   strings.Builder
}

func newMint(n int) *mint {
	m := &mint{random: make([]byte, n*idBytes)}
	rand.Read(m.random)
	m.text.Grow(n * idLength)
	return m
}

// next returns a new ID. A nil mint makes one by itself, and so does one that is used up.
func (m *mint) next() string {
	if m == nil || len(m.random) == 0 {
		return newID()
	}
	if m.made == 0 {
		m.first = uuid.Must(uuid.NewV7())
	}
	var id uuid.UUID
	copy(id[:], m.random)
	m.random = m.random[idBytes:]
	stamp(&id, m.first, m.made)
	m.made++
	from := m.text.Len()
	var text [idLength]byte
	m.text.Write(appendID(text[:0], id))
	return m.text.String()[from:]
}

// stamp makes id, which holds random bits, the UUIDv7 that is n after first: what RFC 9562 (section 6.2, method 3) calls
// the time with more precision, 48 bits of milliseconds and 12 of their fraction, counts up.
func stamp(id *uuid.UUID, first uuid.UUID, n uint64) {
	var t uint64
	for _, b := range first[:6] {
		t = t<<8 | uint64(b)
	}
	t = t<<12 | uint64(first[6]&0xf)<<8 | uint64(first[7])
	t += n
	for i := range 6 {
		id[i] = byte(t >> (12 + 8*(5-i)))
	}
	id[6] = 0x70 | byte(t>>8)&0xf
	id[7] = byte(t)
	id[8] = 0x80 | id[8]&0x3f
}

// appendID is what uuid.UUID.String returns, without memory of its own.
func appendID(b []byte, id uuid.UUID) []byte {
	from := 0
	for _, to := range [...]int{4, 6, 8, 10, 16} {
		if from > 0 {
			b = append(b, '-')
		}
		b = hex.AppendEncode(b, id[from:to])
		from = to
	}
	return b
}
