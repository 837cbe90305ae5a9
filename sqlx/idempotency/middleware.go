package idempotency

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/mainstay-go/mainstay/internal/backoff"
	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/transport"
)

// Middleware returns a handler that runs next once for each key, whatever next does: it claims the key, runs next,
// stores the answer, and sends it. Mount it inside the mux, around single routes, so that a key's route is the pattern;
// around a mux it is method and path. GET, HEAD, OPTIONS and TRACE go straight to next.
//
// A process that dies after next's effects and before the answer is stored has left a claim, which ends after Lease:
// the next request of the same content runs next again. Where next's effects are rows of the same database, [Handler]
// has no such gap. While next runs its claim is extended; where that cannot be done in time, the context that next
// has ends, with the cause [ErrLeaseLost], and what it answers after all is stored only if nobody else has begun since.
// The request is then answered by what was stored, or with 409.
//
// An answer that Options.Keep refuses, and a panic, free the key at once. The answer is stored though the caller has
// left, within 5s; where it cannot be, it is sent all the same, and an error is logged.
//
// An answer is held back until it is stored, unless next flushes it, or writes more than MaxResponse: from there on it
// is passed on as it comes. One that was flushed is stored at its end. One that is larger than MaxResponse is not: the
// key stays used, and requests that come later are refused with 409. Informational answers (1xx) are dropped, and a
// connection cannot be hijacked. Trailers are not kept.
func (k *Keys) Middleware(next http.Handler) http.Handler { return &leased{k, next} }

type leased struct {
	keys *Keys
	next http.Handler
}

// Access tells a server whom to let through without a credential: whom next would.
func (h *leased) Access() transport.Access { return accessOf(h.next) }

func accessOf(h http.Handler) transport.Access {
	if marked, ok := h.(interface{ Access() transport.Access }); ok {
		return marked.Access()
	}
	return transport.InternalOnly
}

// safe reports whether a method promises to have no effect (RFC 9110, section 9.2.1).
func safe(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}

func (h *leased) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k := h.keys
	if safe(r.Method) {
		h.next.ServeHTTP(w, r)
		return
	}
	q, ok := k.begin(w, r)
	switch {
	case !ok:
	case q.key == "":
		h.next.ServeHTTP(w, r)
	default:
		l := &lease{keys: k, request: q, holder: uuid.NewString()}
		if k.claim(w, r, l) {
			l.run(w, r, h.next)
		}
	}
}

// begin reads the request, or answers it.
func (k *Keys) begin(w http.ResponseWriter, r *http.Request) (*request, bool) {
	q, err := &request{pattern: r.Pattern}, k.err
	if err == nil {
		q, err = k.read(w, r)
	}
	if err != nil {
		k.refuse(w, r, q, outcomeInvalid, err)
		return nil, false
	}
	return q, true
}

// claim makes l the holder of its key, or answers the request.
func (k *Keys) claim(w http.ResponseWriter, r *http.Request, l *lease) bool {
	waits := newWaiter(k.opt.Wait)
	for {
		l.began = time.Now()
		var f *found
		var took bool
		err := retry(r.Context(), func() (err error) {
			f, took, err = k.store.take(r.Context(), k.db, l.request, l.holder, false)
			return err
		}, sqlx.IsConflict)
		switch {
		case err != nil:
			if r.Context().Err() != nil {
				l.release(r.Context()) // the claim may have arrived
			}
			k.refuse(w, r, l.request, outcomeFailed, unavailable(err))
			return false
		case took:
			return true
		case l.request.is(f) && f.status.Valid:
			k.replay(w, r, l.request, f)
			return false
		case !l.request.is(f):
			k.refuse(w, r, l.request, outcomeMismatch, mismatch())
			return false
		case !waits.again(r.Context()):
			k.refuse(w, r, l.request, outcomeConflict, inFlight())
			return false
		}
	}
}

// is reports whether f was made by the same request.
func (q *request) is(f *found) bool { return string(f.fingerprint) == string(q.fingerprint[:]) }

// waiter spreads a wait over several looks.
type waiter struct {
	until time.Time
	looks int
}

// Looks are between these apart.
const (
	minLook = 50 * time.Millisecond
	maxLook = time.Second
)

func newWaiter(d time.Duration) *waiter { return &waiter{until: time.Now().Add(d)} }

// again waits for the next look and reports false when there is to be none.
func (t *waiter) again(ctx context.Context) bool {
	left := time.Until(t.until)
	if left <= 0 {
		return false
	}
	t.looks++
	return pause(ctx, min(left, backoff.Delay(t.looks, minLook, maxLook))) == nil
}

// settled is ctx as it is for recording what was done: ctx's end does not end it.
func settled(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
}

// anyError has retry go on until its context ends.
func anyError(err error) bool { return !errors.Is(err, context.DeadlineExceeded) }
