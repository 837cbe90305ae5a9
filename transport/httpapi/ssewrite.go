package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"sync"
	"time"

	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/internal/problem"
	"github.com/mainstay-go/mainstay/transport/internal/reqstate"
)

// openAfter is when a stream that has no event yet tells its caller that it is there.
const openAfter = 250 * time.Millisecond

var (
	// errDraining is why the context of a stream ends whose server stops.
	errDraining = errors.New("httpapi: the server is stopping")
	errReturned = errors.New("httpapi: the stream's handler has returned")
)

// eventWriter is one stream to one caller.
type eventWriter struct {
	w    http.ResponseWriter
	r    *http.Request
	rc   *http.ResponseController
	plan *eventPlan
	opts StreamOptions

	// turn is held by whoever writes, and guards what is below. It is a channel because a write takes as long as the
	// caller does, and others have contexts.
	turn   chan struct{}
	open   bool  // the header is sent
	err    error // of a write; sticky
	closed bool  // the handler has returned
	last   time.Time
}

func newEventWriter(w http.ResponseWriter, r *http.Request, plan *eventPlan, o StreamOptions) *eventWriter {
	return &eventWriter{w: w, r: r, rc: http.NewResponseController(w), plan: plan, opts: o, last: time.Now(),
		turn: make(chan struct{}, 1)}
}

// run calls f while the stream's heart beats. f's context ends with the request's, when the caller cannot be written
// to, and when the server drains.
func (e *eventWriter) run(f func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(e.r.Context())
	defer cancel(nil)
	done := make(chan struct{})
	var heart sync.WaitGroup
	heart.Go(func() { e.beat(ctx, done, cancel) })
	defer func() { // also where f panics
		close(done)
		heart.Wait()
		e.turn <- struct{}{}
		e.closed = true
		<-e.turn
	}()
	err := f(ctx)
	if cause := context.Cause(ctx); cause != nil && isEnd(err) {
		return cause // which the handler may have from ctx.Err
	}
	return err
}

// isEnd reports whether a handler's error is that of its context.
func isEnd(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errDraining)
}

// beat opens the stream, if nobody else does, and sends a comment whenever it was silent for long.
func (e *eventWriter) beat(ctx context.Context, done <-chan struct{}, cancel context.CancelCauseFunc) {
	draining := reqstate.Draining(ctx)
	timer := time.NewTimer(openAfter)
	defer timer.Stop()
	for {
		select {
		case <-done:
			return
		case <-draining:
			cancel(errDraining)
			draining = nil
		case <-timer.C:
			next, err := e.keepAlive()
			if err != nil {
				cancel(err)
				return
			}
			if next > 0 {
				timer.Reset(next)
			}
		}
	}
}

// keepAlive sends what is due, and returns when to look again, 0 for never.
func (e *eventWriter) keepAlive() (next time.Duration, err error) {
	select {
	case e.turn <- struct{}{}:
		defer func() { <-e.turn }()
	default:
		return max(e.opts.Heartbeat, 0), nil // somebody writes: that is life enough
	}
	silent := time.Since(e.last)
	switch {
	case !e.open:
		err = e.write(nil)
	case e.opts.Heartbeat <= 0:
		return 0, nil
	case silent < e.opts.Heartbeat:
		return e.opts.Heartbeat - silent, nil
	default:
		err = e.write([]byte(":\n\n"))
	}
	return max(e.opts.Heartbeat, 0), err
}

// send sends the event that v points to.
func (e *eventWriter) send(ctx context.Context, v reflect.Value) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	head, err := e.plan.head(v)
	if err != nil {
		return fmt.Errorf("httpapi: send event: %w", err)
	}
	enc := encoders.Get().(*encoder)
	enc.buf.WriteString(head)
	enc.buf.WriteString("data: ")
	if err := enc.enc.Encode(as(v, e.plan.json)); err != nil { // one line, and its end
		return fmt.Errorf("httpapi: send event: %w", err)
	}
	defer enc.put()
	enc.buf.WriteByte('\n')
	if enc.buf.Len() > e.opts.MaxEvent {
		return fmt.Errorf("httpapi: send event: %d bytes are more than %d", enc.buf.Len(), e.opts.MaxEvent)
	}
	select {
	case e.turn <- struct{}{}:
		defer func() { <-e.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if e.closed {
		return errReturned
	}
	return e.write(enc.buf.Bytes())
}

// write sends p, behind the header where that is not sent yet. It is the caller's turn.
func (e *eventWriter) write(p []byte) error {
	if e.err != nil {
		return e.err
	}
	if e.opts.WriteTimeout > 0 {
		// A writer that has no deadlines has none to miss.
		_ = e.rc.SetWriteDeadline(time.Now().Add(e.opts.WriteTimeout))
		// HTTP/2's deadline ends a stream that waits for its next event.
		defer e.rc.SetWriteDeadline(time.Time{}) //nolint:errcheck // as above
	}
	if !e.open {
		p = append(e.begin(), p...)
	}
	_, err := e.w.Write(p)
	if err == nil {
		err = e.rc.Flush()
	}
	if err != nil {
		e.err = fmt.Errorf("httpapi: send event: %w", err)
	}
	e.last = time.Now()
	return e.err
}

// begin sends the header, and returns what the stream begins with.
func (e *eventWriter) begin() []byte {
	e.open = true
	h := e.w.Header()
	h["Content-Type"] = []string{mediaEvents}
	h["Cache-Control"] = []string{"no-cache"}
	h["X-Accel-Buffering"] = []string{"no"} // nginx holds back what it proxies
	h["X-Content-Type-Options"] = nosniff
	e.w.WriteHeader(http.StatusOK)
	_ = e.rc.SetReadDeadline(time.Time{}) // the request is read: whether the caller leaves is seen by reading on
	if e.opts.Retry < 0 {
		return []byte(":\n\n")
	}
	return []byte("retry: " + strconv.FormatInt(e.opts.Retry.Milliseconds(), 10) + "\n\n")
}

// finish tells the caller how the stream ended. Nobody else writes by now.
func (e *eventWriter) finish(err error, declared []ErrorType) {
	e.turn <- struct{}{}
	defer func() { <-e.turn }()
	switch {
	case !e.open && err == nil:
		e.w.WriteHeader(http.StatusNoContent)
	case !e.open && errors.Is(err, errDraining):
		WriteError(e.w, e.r, transport.NewError(transport.Unavailable, "not available now", err))
	case !e.open:
		writeError(e.w, e.r, err, declared)
	case err == nil:
		_ = e.write([]byte("event: " + endEvent + "\ndata: {}\n\n"))
	case errors.Is(err, errDraining) || isEnd(err) && e.r.Context().Err() != nil || e.err != nil:
		// The caller has left, or comes back by itself.
	default:
		e.problem(err, declared)
	}
}

func (e *eventWriter) problem(err error, declared []ErrorType) {
	if state := reqstate.From(e.r.Context()); state != nil {
		state.Fail(err)
	}
	sent, status, extension := sentAs(e.r.Context(), err, declared)
	body := problem.Encode(e.r.Context(), status, sent, extension)
	if sent.Delay > 0 {
		_ = e.write([]byte("retry: " + strconv.FormatInt(sent.Delay.Milliseconds(), 10) + "\n\n"))
	}
	_ = e.write([]byte("event: " + problemEvent + "\ndata: " + string(body) + "\n\n"))
}
