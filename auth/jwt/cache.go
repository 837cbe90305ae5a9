package jwt

import (
	"crypto/sha256"
	"encoding/binary"
	"sync/atomic"
)

const (
	defaultMaxCached = 4096
	maxMaxCached     = 1 << 20 // a table of 9 MiB, and up to gigabytes of entries

	// maxEntryBytes bounds what one token takes of the cache, since a verifier need not bound the token.
	maxEntryBytes = 4 << 10
	// bucketSize is how many places a token may be in. It bounds the time of a look-up.
	bucketSize = 8
)

// digest is the SHA-256 of a token, by which it is remembered: who has no token with that digest cannot find out
// anything from how long the comparison takes.
type digest [sha256.Size]byte

// digestOf hashes token in pieces, because the conversion of a long string would allocate.
func digestOf(token string) (d digest) {
	var piece [512]byte
	h := sha256.New()
	for len(token) > 0 {
		n := copy(piece[:], token)
		h.Write(piece[:n])
		token = token[n:]
	}
	h.Sum(d[:0])
	return d
}

// cache remembers genuine tokens by their digests, in a table of buckets: a token may be in any place of one bucket.
// Nothing is ever locked, and a hit on a token that is asked for all the time writes nothing that other processors
// read. Safe for concurrent use.
type cache struct {
	buckets []bucket // none: nothing is remembered
}

// bucket holds the tokens of which the digests begin alike.
type bucket struct {
	places [bucketSize]atomic.Pointer[genuine] // never emptied again
	hand   atomic.Uint32                       // the place after this one is the next to be looked at for room
}

// newCache returns a cache of size tokens, rounded up to full buckets, 0 for none.
func newCache(size int) *cache {
	return &cache{buckets: make([]bucket, (size+bucketSize-1)/bucketSize)}
}

// digest returns by what token is remembered: nothing to hash where nothing is.
func (c *cache) digest(token string) digest {
	if len(c.buckets) == 0 {
		return digest{}
	}
	return digestOf(token)
}

// get returns the token of digest d, nil where it is not remembered.
func (c *cache) get(d *digest) *genuine {
	if len(c.buckets) == 0 {
		return nil
	}
	b := c.bucket(d)
	for n := range b.places {
		e := b.places[n].Load()
		if e == nil || e.digest != *d {
			continue
		}
		if !e.used.Load() { // or every hit would take the entry's memory from the other processors
			e.used.Store(true)
		}
		return e
	}
	return nil
}

// put remembers g, which nobody else has seen yet, by its digest d, in the place of another where there is no room.
// What takes more than maxEntryBytes is not remembered.
func (c *cache) put(d *digest, g *genuine) {
	if len(c.buckets) == 0 || g.size > maxEntryBytes {
		return
	}
	g.digest = *d
	// Two who put at once may take the same place: one of the tokens is then checked once more.
	c.bucket(d).place(d).Store(g)
}

func (c *cache) bucket(d *digest) *bucket {
	return &c.buckets[binary.LittleEndian.Uint64(d[:])%uint64(len(c.buckets))]
}

// place returns where to put what has digest d: its own place, or a free one, or the next that nobody has asked for
// since the hand passed it (the CLOCK algorithm). So tokens that come once do not drive out those that come often,
// and those that come no more make room.
func (b *bucket) place(d *digest) *atomic.Pointer[genuine] {
	for n := range b.places {
		if e := b.places[n].Load(); e == nil || e.digest == *d {
			return &b.places[n]
		}
	}
	for range b.places {
		if p := b.next(); !p.Load().used.Swap(false) {
			return p
		}
	}
	return b.next()
}

// next moves the hand.
func (b *bucket) next() *atomic.Pointer[genuine] { return &b.places[b.hand.Add(1)%bucketSize] }
