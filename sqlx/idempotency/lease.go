package idempotency

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// lease is one request's right to run its handler.
type lease struct {
	keys    *Keys
	request *request
	holder  string
	began   time.Time // before the database said yes, so that our clock is never behind its
}

// run runs next, and stores and sends what it answers.
func (l *lease) run(w http.ResponseWriter, r *http.Request, next http.Handler) {
	k := l.keys
	rec := newRecorder(w, k.opt.MaxResponse, false)
	returned := false
	defer func() {
		// No recover: the panic keeps its value and its stack.
		if !returned {
			k.counts.add(l.request.pattern, outcomeUnkept)
			l.release(r.Context())
		}
	}()
	l.serve(rec, r, next)
	returned = true
	a := rec.answer(k)
	if !k.opt.Keep(rec.status) {
		k.counts.add(l.request.pattern, outcomeUnkept)
		l.release(r.Context())
		rec.finish()
		return
	}
	if l.keep(w, r, rec, a) {
		rec.finish()
	}
}

// serve runs next while the lease is extended.
func (l *lease) serve(rec *recorder, r *http.Request, next http.Handler) {
	ctx, cancel := context.WithCancelCause(r.Context())
	// A handler that goes on after its caller has left keeps its lease.
	works, end := context.WithCancel(context.WithoutCancel(r.Context()))
	var wg sync.WaitGroup
	wg.Go(func() { l.extend(works, cancel) })
	defer func() {
		end()
		wg.Wait()
		cancel(nil)
	}()
	inner := r.WithContext(ctx)
	next.ServeHTTP(rec, inner)
	r.Pattern = inner.Pattern // for whoever counts outside of a mux that is in next
}

// extend extends the lease until works ends. Where it is lost it cancels the handler.
func (l *lease) extend(works context.Context, cancel context.CancelCauseFunc) {
	k := l.keys
	tick := time.NewTicker(k.opt.Lease / 3)
	defer tick.Stop()
	until := l.began.Add(k.opt.Lease)
	for {
		select {
		case <-works.Done():
			return
		case <-tick.C:
		}
		began := time.Now()
		ctx, done := context.WithDeadline(works, until)
		held, err := k.store.hold(ctx, l.request, l.holder)
		done()
		switch {
		case works.Err() != nil:
			return
		case err == nil && held:
			until = began.Add(k.opt.Lease)
		case err == nil || !time.Now().Before(until):
			cancel(ErrLeaseLost)
			return
		}
	}
}

// keep stores a and reports whether it may be sent. Otherwise the request has been answered.
func (l *lease) keep(w http.ResponseWriter, r *http.Request, rec *recorder, a *answer) bool {
	k := l.keys
	ctx, cancel := settled(r.Context())
	defer cancel()
	var kept bool
	err := retry(ctx, func() (err error) {
		kept, err = k.store.keep(ctx, k.db, l.request, l.holder, a)
		return err
	}, anyError)
	switch {
	case err != nil:
		k.opt.Logger.ErrorContext(ctx, "idempotency: an answer could not be kept; after its lease the request can be "+
			"handled again", "route", l.request.route, "key", l.request.key, "error", err)
		k.counts.add(l.request.pattern, outcomeFailed)
		return true
	case kept:
		k.counts.add(l.request.pattern, outcomeExecuted)
		return true
	}
	k.opt.Logger.WarnContext(ctx, "idempotency: the lease was lost, and the handler has run more than once",
		"route", l.request.route, "key", l.request.key)
	if !rec.live {
		l.answerAnother(ctx, w, r)
	}
	return false
}

// answerAnother answers by what another has stored: all answers of a key are the same.
func (l *lease) answerAnother(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	k := l.keys
	f, err := k.store.look(ctx, k.db, l.request)
	switch {
	case err != nil:
		k.refuse(w, r, l.request, outcomeLost, unavailable(err))
	case l.request.is(f) && f.status.Valid:
		k.replay(w, r, l.request, f)
	default:
		k.refuse(w, r, l.request, outcomeLost, inFlight())
	}
}

// release frees the key. Where that fails its lease ends by itself.
func (l *lease) release(ctx context.Context) {
	ctx, cancel := settled(ctx)
	defer cancel()
	err := retry(ctx, func() error { return l.keys.store.free(ctx, l.request, l.holder) }, anyError)
	if err != nil {
		l.keys.opt.Logger.WarnContext(ctx, "idempotency: a key stays claimed until its lease ends",
			"route", l.request.route, "key", l.request.key, "error", err)
	}
}
