package pubsub

import (
	"testing"
	"time"

	"github.com/google/uuid"
)

func TestMint(t *testing.T) {
	const n = 10_000
	m := newMint(n)
	seen := make(map[string]bool, n)
	last := ""
	for range n + 2 { // two more than it has room for
		id := m.next()
		u, err := uuid.Parse(id)
		if err != nil || u.String() != id || u.Version() != 7 || u.Variant() != uuid.RFC4122 {
			t.Fatalf("got %q (%v), want the text of a UUIDv7", id, err)
		}
		if sec, _ := u.Time().UnixTime(); time.Since(time.Unix(sec, 0)).Abs() > time.Minute {
			t.Fatalf("%s is of %v, want now", id, time.Unix(sec, 0))
		}
		if random := id[19:]; seen[random] {
			t.Fatalf("%s has the randomness of another", id)
		}
		seen[id[19:]] = true
		if len(seen) <= n && id <= last {
			t.Fatalf("got %s after %s, want a greater one", id, last)
		}
		last = id
	}
}

func TestStampCarries(t *testing.T) {
	first := uuid.MustParse("0190ffff-ffff-7fff-8000-000000000000")
	id := uuid.MustParse("ffffffff-ffff-ffff-ffff-ffffffffffff")
	stamp(&id, first, 1)
	if got, want := id.String(), "01910000-0000-7000-bfff-ffffffffffff"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	stamp(&id, first, 0)
	if got, want := id.String(), "0190ffff-ffff-7fff-bfff-ffffffffffff"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
