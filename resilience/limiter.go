package resilience

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	defaultQuota  = 100
	defaultWindow = time.Minute
	defaultKeys   = 10_000 // some 2 MB
)

// LimiterOptions of a [Limiter]. Nil options are the defaults of every field.
type LimiterOptions struct {
	// Quota is how many events of one key pass in a Window, at any pace: all of them may come at once. Zero means 100;
	// negative means that all pass.
	Quota int
	// Window is the time in which a used-up quota is whole again. It comes back evenly, not all at its end. Zero and
	// negative mean 1m.
	Window time.Duration
	// Keys bounds how many keys are remembered. Beyond it the one that was seen least recently is forgotten, and has
	// its whole quota when it comes again: choose keys that strangers cannot make up at will. Zero and negative mean
	// 10,000.
	Keys int
}

// Limiter bounds the rate of events for each key apart, by a token bucket (golang.org/x/time/rate): in any time t, at
// most Quota*(1+t/Window) events of one key pass, as long as the key is remembered. It counts in this process only.
// It is safe for concurrent use.
type Limiter struct {
	quota  int
	window time.Duration
	keys   int

	mu      sync.Mutex // held to find a bucket, not to take from it
	buckets map[string]*bucket
	ring    bucket // of a ring: next is the bucket used last, prev the one used least recently
}

// bucket is the tokens of one key.
type bucket struct {
	key        string
	tokens     *rate.Limiter
	prev, next *bucket
}

// NewLimiter returns a limiter. Nil options are defaults.
func NewLimiter(o *LimiterOptions) *Limiter {
	if o == nil {
		o = &LimiterOptions{}
	}
	l := &Limiter{quota: o.Quota, window: o.Window, keys: o.Keys, buckets: make(map[string]*bucket)}
	if l.quota == 0 {
		l.quota = defaultQuota
	}
	if l.window <= 0 {
		l.window = defaultWindow
	}
	if l.keys <= 0 {
		l.keys = defaultKeys
	}
	l.ring.prev, l.ring.next = &l.ring, &l.ring
	return l
}

// Policy returns the quota and its window, 0 and 0 where all pass.
func (l *Limiter) Policy() (quota int, window time.Duration) {
	if l.quota < 0 {
		return 0, 0
	}
	return l.quota, l.window
}

// Take takes one event of the key's quota. It returns how many are left and 0, or, where none was there, 0 and how long
// until one is. It never waits; ctx is for limiters that ask another process, which have the same method. A key that
// was seen before costs no allocation.
func (l *Limiter) Take(_ context.Context, key string) (left int, wait time.Duration) {
	if l.quota < 0 {
		return 0, 0
	}
	tokens := l.bucket(key)
	now := time.Now()
	ok := tokens.AllowN(now, 1)
	there := tokens.TokensAt(now)
	if ok {
		return max(int(there), 0), 0
	}
	// At least a nanosecond: somebody else may have waited longer meanwhile.
	return 0, max(time.Duration((1-there)/float64(tokens.Limit())*float64(time.Second)), 1)
}

// bucket returns the tokens of a key.
func (l *Limiter) bucket(key string) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, ok := l.buckets[key]
	if ok {
		b.prev.next, b.next.prev = b.next, b.prev
	} else {
		b = l.add(key)
	}
	b.prev, b.next = &l.ring, l.ring.next
	b.prev.next, b.next.prev = b, b
	return b.tokens
}

// add makes the bucket of a new key, which is in no ring yet, in place of the oldest one where there are enough.
func (l *Limiter) add(key string) *bucket {
	if len(l.buckets) >= l.keys {
		oldest := l.ring.prev
		oldest.prev.next, oldest.next.prev = oldest.next, oldest.prev
		delete(l.buckets, oldest.key)
	}
	b := &bucket{key: key, tokens: rate.NewLimiter(rate.Limit(float64(l.quota)/l.window.Seconds()), l.quota)}
	l.buckets[key] = b
	return b
}
