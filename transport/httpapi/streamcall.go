package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/mainstay-go/mainstay/internal/backoff"
	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/internal/outcall"
	"github.com/mainstay-go/mainstay/transport/internal/problem"
)

const (
	// minRetry and maxRetry bound what a server may ask its clients to wait, and maxRetry what failures add to that.
	minRetry = 100 * time.Millisecond
	maxRetry = time.Minute
)

// Call listens to the stream by c, and connects anew where the connection is lost or the server asks for it: from the
// last event that had an ID, by the header Last-Event-ID, else from whatever the server sends then. So events without
// IDs may be missed. A loop over it ends
//   - without an error when the server says that the stream is complete;
//   - with one when ctx ends, when the server refuses the request or ends the stream for a reason that another try does
//     not change, when an event cannot be read or is larger than the contract allows, and after MaxFailures vain tries
//     in a row. What an error holds is what [Endpoint.Call] says. An error is the last that is yielded;
//   - when its body breaks off.
//
// Waits between tries grow with the failures, from the time that the server asks for to at most a minute, with jitter.
// The time-out of an httpclient.Client bounds each connection's header only; that of its Policy bounds the whole of it.
func (s *Stream[Req, Event]) Call(ctx context.Context, c Caller, req Req) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		l := &listener{contract: &s.contract, plan: s.event, opts: s.opts, retry: max(s.opts.Retry, 0)}
		if l.retry == 0 {
			l.retry = defaultRetry
		}
		err := l.listen(ctx, c, reflect.ValueOf(&req), func(ev receivedEvent) (bool, error) {
			var e Event
			if err := s.event.decode(ev, reflect.ValueOf(&e)); err != nil {
				return false, unreadable(err)
			}
			return yield(e, nil), nil
		})
		if err != nil {
			var zero Event
			yield(zero, fmt.Errorf("httpapi: stream %q: %w", s.pattern.text, err))
		}
	}
}

// decode sets the event that v points to.
func (p *eventPlan) decode(ev receivedEvent, v reflect.Value) error {
	if err := json.Unmarshal(ev.data, as(v, p.json)); err != nil {
		return err
	}
	if p.name != nil {
		v.Elem().FieldByIndex(p.name).SetString(ev.name)
	}
	if p.id != nil && ev.hasID && ev.id != "" {
		if err := p.codec.set(v.Elem().FieldByIndex(p.id), ev.id); err != nil {
			return fmt.Errorf("event ID: %w", err)
		}
	}
	return nil
}

// listener is one loop over a stream.
type listener struct {
	contract *contract
	plan     *eventPlan
	opts     StreamOptions
	lastID   string
	retry    time.Duration
	failures int // in a row
}

// errEnd is how a connection ends that is the last: the server said so, or the loop's body broke off.
var errEnd = errors.New("httpapi: the stream has ended")

// listen connects until the stream ends. event is called for each event, and returns false to end the loop.
func (l *listener) listen(ctx context.Context, c Caller, req reflect.Value,
	event func(receivedEvent) (bool, error)) error {
	for {
		lost, err := l.connect(ctx, c, req, event)
		switch {
		case errors.Is(err, errEnd):
			return nil
		case err != nil:
			return err
		case ctx.Err() != nil:
			return unreachable(context.Cause(ctx))
		}
		if lost != nil {
			l.failures++
		}
		if l.opts.MaxFailures >= 0 && l.failures > l.opts.MaxFailures {
			return lost
		}
		if err := l.wait(ctx, lost); err != nil {
			return unreachable(err)
		}
	}
}

// wait pauses before the next connection.
func (l *listener) wait(ctx context.Context, lost *transport.Error) error {
	pause := backoff.Delay(l.failures, min(max(l.retry, minRetry), maxRetry), maxRetry)
	if lost != nil {
		pause = max(pause, min(lost.Delay, maxRetry))
	}
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// connect reads the events of one connection. lost is why there is to be another, nil for one that was good and ended;
// err is why there is to be none.
func (l *listener) connect(ctx context.Context, c Caller, req reflect.Value,
	event func(receivedEvent) (bool, error)) (lost *transport.Error, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r, err := l.contract.request(outcall.NewContext(ctx, outcall.Call{Stream: true}), req)
	if err != nil {
		return nil, transport.NewError(transport.InvalidArgument, "the request cannot be sent", err)
	}
	r.Header.Set("Accept", mediaEvents+", "+transport.ContentTypeProblem)
	r.Header.Set("Cache-Control", "no-store")
	if l.lastID != "" {
		r.Header[lastEventID] = []string{l.lastID}
	}
	resp, err := c.Do(r)
	if err != nil {
		return l.again(unreachable(err))
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNoContent:
		return nil, errEnd
	case resp.StatusCode != http.StatusOK:
		answered, doc := problem.ReadTyped(resp)
		return l.again(typed(answered, doc, l.contract.errors))
	case mediaType(resp.Header["Content-Type"]) != mediaEvents:
		is := resp.Header.Get("Content-Type")
		return nil, unreadable(fmt.Errorf("httpapi: the response is no event stream but %q", is))
	}
	return l.read(resp, cancel, event)
}

// again says whether an error is worth another connection.
func (l *listener) again(e *transport.Error) (lost *transport.Error, err error) {
	if e.Retryable() && e.Code != transport.Canceled {
		return e, nil
	}
	return nil, e
}

// provenAfter is how late a sign of life tells that a connection was good, though it brought no event.
const provenAfter = 10 * time.Second

var errSilent = errors.New("httpapi: the stream was silent for too long")

// read reads the events of a connection that stands.
func (l *listener) read(resp *http.Response, cancel context.CancelCauseFunc,
	event func(receivedEvent) (bool, error)) (lost *transport.Error, err error) {
	start, proven := time.Now(), false
	heard := func() { proven = proven || time.Since(start) > provenAfter }
	if l.opts.Heartbeat > 0 {
		patience := 3 * l.opts.Heartbeat
		silent := time.AfterFunc(patience, func() { cancel(errSilent) })
		defer silent.Stop()
		heard = func() {
			silent.Reset(patience)
			proven = proven || time.Since(start) > provenAfter
		}
	}
	in := newEventReader(resp.Body, l.opts.MaxEvent, l.lastID, heard)
	defer func() {
		if in.retry >= 0 {
			l.retry = in.retry
		}
		if proven {
			l.failures = 0
		}
	}()
	for {
		ev, err := in.next()
		switch {
		case errors.Is(err, errTooLarge):
			return nil, unreadable(err)
		case err != nil && !proven:
			return transport.NewError(transport.Unavailable, "a stream broke off", err), nil
		case err != nil:
			return nil, nil
		case strings.ContainsFunc(in.lastID, isControl):
			return nil, unreadable(errEventID)
		}
		lost, err := l.take(in, ev, event)
		if lost != nil || err != nil {
			return lost, err
		}
		proven = true
	}
}

// take hands on one event, or ends the connection where it says so.
func (l *listener) take(in *eventReader, ev receivedEvent,
	event func(receivedEvent) (bool, error)) (lost *transport.Error, err error) {
	switch ev.name {
	case endEvent:
		return nil, errEnd
	case problemEvent:
		e := &transport.Error{Code: transport.Unknown, Message: "the stream failed", Remote: true}
		e.Delay = max(in.retry, 0)
		return l.again(typed(e, problem.Decode(ev.data, e), l.contract.errors))
	}
	more, err := event(ev)
	if err != nil {
		return nil, err
	}
	l.lastID = in.lastID // only now: what the loop has not seen is sent again
	if !more {
		return nil, errEnd
	}
	return nil, nil
}
