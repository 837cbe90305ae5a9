package httpserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/mainstay-go/mainstay/transport/internal/reqstate"
)

const (
	// lastChance is what handlers get to see that their context was cancelled.
	lastChance = 250 * time.Millisecond
	// pollInterval is how often the server looks whether the last request has ended.
	pollInterval = 5 * time.Millisecond
	// freshFor is how long a connection may take to bring its first request once the server drains. net/http gives it
	// five seconds, and drops the request if it comes meanwhile.
	freshFor = time.Second
)

// Draining returns a channel that is closed when the [Server] of the request that ctx belongs to has closed its
// listener. Handlers of long streams end theirs then: the server waits for them. Outside of a Server the channel is
// nil, which never is ready.
func Draining(ctx context.Context) <-chan struct{} {
	return reqstate.Draining(ctx)
}

// errCutOff is why the context of a request ends that DrainTimeout did not suffice for.
var errCutOff = errors.New("httpserver: cut off: the server is stopping")

// DrainError is what [Server.Run] returns when it had to cut off what did not end in time. It matches
// context.DeadlineExceeded.
type DrainError struct {
	After    time.Duration // the time that they had
	Requests int           // requests whose answer had not begun, over HTTP/1 and HTTP/2
	Streams  int           // requests whose answer had begun: event streams, downloads
	Hijacked int           // connections that a handler had taken over, whether or not it had returned
}

func (e *DrainError) Error() string {
	var parts []string
	for _, kind := range []struct {
		n    int
		name string
	}{{e.Requests, "requests"}, {e.Streams, "streams"}, {e.Hijacked, "hijacked connections"}} {
		if kind.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", kind.n, kind.name))
		}
	}
	return fmt.Sprintf("%s cut off after %v: %v", strings.Join(parts, ", "), e.After, context.DeadlineExceeded)
}

// Unwrap returns context.DeadlineExceeded.
func (e *DrainError) Unwrap() error { return context.DeadlineExceeded }

// drain ends srv, whose listener is closed, within DrainTimeout and lastChance. Its time counts from the end of ctx, not
// by ctx.
func (s *Server) drain(ctx context.Context, srv *http.Server, open *conns, cancel context.CancelCauseFunc) error {
	limited, stop := context.WithTimeout(context.WithoutCancel(ctx), s.opts.DrainTimeout)
	defer stop()
	s.settle(limited, open)
	err := srv.Shutdown(limited)
	if err == nil {
		// Shutdown does not count connections that a handler took over.
		err = wait(limited, func() bool { return s.load.total() == 0 && open.count(connHijacked) == 0 })
	}
	if err == nil {
		return nil
	}
	cut := &DrainError{
		After:    s.opts.DrainTimeout,
		Requests: int(s.load.requests.Load()),
		Streams:  int(s.load.streams.Load()),
		Hijacked: max(int(s.load.hijacked.Load()), open.count(connHijacked)),
	}
	cancel(errCutOff)
	closeErr := srv.Close()
	open.closeAll(connHijacked, 0)
	last, stop := context.WithTimeout(context.WithoutCancel(ctx), lastChance)
	defer stop()
	_ = wait(last, func() bool { return s.load.total() == 0 }) // it changes nothing: they are cut off
	if *cut == (DrainError{After: cut.After}) {
		return closeErr // idle connections alone were left, which is no loss
	}
	return errors.Join(cut, closeErr)
}

// settle waits for the requests that are about to be read: until each new connection has brought one and what runs has
// ended, which also ends connections that are kept alive, or else for freshFor. New connections that bring none are
// closed.
func (s *Server) settle(ctx context.Context, open *conns) {
	limited, stop := context.WithTimeout(ctx, freshFor)
	defer stop()
	quiet := 0 // looks in a row: a request is neither new nor counted for a moment, between its reading and its handler
	_ = wait(limited, func() bool {
		quiet++
		if open.closeAll(connFresh, freshFor) > 0 || s.load.total() > 0 {
			quiet = 0
		}
		return quiet == 2
	})
	open.closeAll(connFresh, 0)
}

// wait returns nil as soon as done says so, or the error of ctx.
func wait(ctx context.Context, done func() bool) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}
