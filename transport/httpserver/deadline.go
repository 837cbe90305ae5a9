package httpserver

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/internal/problem"
	"github.com/mainstay-go/mainstay/transport/internal/reqstate"
)

// timeoutError is why the context of a request ends that took longer than its server allows.
type timeoutError struct{}

func (timeoutError) Error() string        { return "httpserver: the request took too long" }
func (timeoutError) Timeout() bool        { return true }
func (timeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// Deadline returns a middleware that gives each request's context a deadline: the time that the caller will wait by its
// header transport.HeaderRequestTimeout, and at most limit. A limit <= 0 leaves only the caller's. Where the time has
// passed and the handler has returned without an answer, it sends 504.
//
// [Server] does the same by itself, but for its limit, which streams lift; see [Options].Timeout. Use this one for a
// part of the mux that has less time than the rest.
func Deadline(limit time.Duration) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return layer{next, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			d, ok := timeoutOf(r.Header, limit)
			if !ok {
				next.ServeHTTP(w, r)
				return
			}
			ctx, cancel := context.WithTimeout(r.Context(), d)
			defer cancel()
			rec := &recorder{w: w}
			under(ctx, rec.wrap(), r, next)
			rec.answerLate(ctx, r)
		}}
	}
}

// timeoutOf returns the shorter of the caller's time and limit, and whether there is one.
func timeoutOf(h http.Header, limit time.Duration) (time.Duration, bool) {
	d, ok := requested(h)
	switch {
	case !ok:
		return limit, limit > 0
	case limit > 0:
		return min(d, limit), true
	}
	return d, true
}

// requested returns the time that the caller gives. More than one header is none: a proxy may have added the second.
func requested(h http.Header) (time.Duration, bool) {
	v := h[transport.HeaderRequestTimeout]
	if len(v) != 1 || len(v[0]) > 10 {
		return 0, false
	}
	ms, err := strconv.ParseUint(v[0], 10, 64) // takes no sign and no space
	if err != nil {
		return 0, false
	}
	return time.Duration(ms) * time.Millisecond, true //nolint:gosec // ten digits
}

// serving is what a [Server] does for each request beside what [Observe] does.
type serving struct {
	load    *load
	timeout time.Duration // 0 is none, and so below
	write   time.Duration
	router  http.Handler // the handler that the server was made with
}

// enter counts the request and bounds its time. leave is what undoes it.
func (s *serving) enter(x *exchange, r *http.Request) {
	x.place = s.load.enter()
	x.pace = pace{timeout: s.write, http2: r.ProtoMajor > 1, armed: x.start} // net/http has set the first
	if d, ok := requested(r.Header); ok {
		if s.timeout > 0 {
			d = min(d, s.timeout)
		}
		x.state.Context, x.cancel = context.WithTimeout(x.state.Context, d)
		return
	}
	if s.timeout > 0 {
		// What net/http makes for each request, and ends after it, is the parent, so that this one needs no end of its own.
		ctx, cancel := context.WithCancelCause(x.state.Context)
		x.state.Context = ctx
		x.pace.guard = time.AfterFunc(s.timeout, func() { cancel(timeoutError{}) })
	}
}

func (x *exchange) leave() {
	x.pace.lift()
	if x.cancel != nil {
		x.cancel()
	}
	x.place.leave()
}

// settle ends the answer of a handler that has returned.
func (x *exchange) settle() {
	x.recorder.answerLate(x.req.Context(), x.req)
	x.pace.arm(x.recorder.w) // net/http sends the end of it now
}

// answerLate sends 504 where the time of ctx ran out before there was an answer.
func (rec *recorder) answerLate(ctx context.Context, r *http.Request) {
	if rec.status != 0 || rec.hijacked || ctx.Err() == nil || !errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return
	}
	err := transport.NewError(transport.DeadlineExceeded, "time ran out", context.Cause(ctx))
	if state := reqstate.From(ctx); state != nil {
		state.Fail(err)
	}
	problem.Write(rec, r, http.StatusGatewayTimeout, err)
}
