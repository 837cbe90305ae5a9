package jwt

import (
	"time"

	"github.com/mainstay-go/mainstay/auth"
)

// VerifyAt is Verify at another time: clocks of synctest do not go backwards.
func (v *Verifier) VerifyAt(token string, now time.Time) (auth.Principal, error) {
	return v.verify(token, now)
}

// Remembers reports whether token is remembered.
func (v *Verifier) Remembers(token string) bool { return v.RemembersDigest(digestOf(token)) }

// RemembersDigest reports whether the token with that SHA-256 is remembered.
func (v *Verifier) RemembersDigest(d [32]byte) bool { return v.cache.get((*digest)(&d)) != nil }

// Remember remembers a token of subject with that SHA-256.
func (v *Verifier) Remember(d [32]byte, subject string) {
	v.cache.put((*digest)(&d), &genuine{subject: subject})
}

// Remembered returns how many tokens are remembered.
func (v *Verifier) Remembered() int {
	n := 0
	for i := range v.cache.buckets {
		for j := range v.cache.buckets[i].places {
			if v.cache.buckets[i].places[j].Load() != nil {
				n++
			}
		}
	}
	return n
}

// Drop removes the key of that ID, Accept adds k or puts it in the place of the key of that ID. Neither may run beside
// Verify.
func (v *Verifier) Drop(id string) { delete(v.keys, id) }
func (v *Verifier) Accept(k Key)   { v.keys[k.material().id] = k }

// Pick is pick.
func Pick(doc string, names ...string) ([][]byte, bool) {
	values := make([][]byte, len(names))
	ok := pick([]byte(doc), names, values)
	return values, ok
}

// Verifies reports whether signature is k's for signed.
func (k Key) Verifies(signed string, signature []byte) bool {
	return k.material().verify([]byte(signed), signature)
}
