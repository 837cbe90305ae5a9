package main

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"
)

const (
	payloadSize = 256
	memoryBatch = 100 // messages a call, in memory
	// publishers is how many goroutines publish where each call waits for one message.
	publishers = 100
	// warmUp is how many messages go before.
	warmUp = 1_000
	// patience bounds the wait for the last message of a measurement.
	patience = 2 * time.Minute
)

// way is one library's way from a publisher to a handler.
type way struct {
	name string
	// open prepares it; handled is to be called by the handler of each message.
	open func(ctx context.Context, handled func()) (line, error)
}

// line is a way that is open.
type line struct {
	// publish sends n messages and returns once the library says that they are stored.
	publish func(ctx context.Context, n int) error
	close   func()
}

// side is an open line, and what it has handled.
type side struct {
	name  string
	ctx   context.Context //nolint:containedctx // of the run, which the measurements are part of
	line  line
	count atomic.Int64
	due   atomic.Int64
	done  chan struct{}
}

func (w way) start(ctx context.Context) (*side, error) {
	s := &side{name: w.name, ctx: ctx, done: make(chan struct{}, 1)}
	s.due.Store(-1)
	l, err := w.open(ctx, s.handled)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", w.name, err)
	}
	s.line = l
	return s, nil
}

func (s *side) handled() {
	if s.count.Add(1) == s.due.Load() {
		s.done <- struct{}{}
	}
}

func (s *side) stop() { s.line.close() }

// cost is what one message costs.
type cost struct{ ns, allocs float64 }

// measure moves n messages.
func (s *side) measure(n int) func() (cost, error) {
	return func() (cost, error) {
		ctx, cancel := context.WithTimeout(s.ctx, patience)
		defer cancel()
		before := s.count.Load()
		s.due.Store(before + int64(n))
		var start, end runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&start)
		began := time.Now()
		if err := s.line.publish(ctx, n); err != nil {
			return cost{}, fmt.Errorf("%s: publish: %w", s.name, err)
		}
		select {
		case <-s.done:
		case <-ctx.Done():
			return cost{}, fmt.Errorf("%s: handled %d of %d", s.name, s.count.Load()-before, n)
		}
		took := time.Since(began)
		runtime.ReadMemStats(&end)
		if got := s.count.Load() - before; got != int64(n) {
			return cost{}, fmt.Errorf("%s: handled %d messages, %d were sent", s.name, got, n)
		}
		return cost{
			ns:     float64(took.Nanoseconds()) / float64(n),
			allocs: float64(end.Mallocs-start.Mallocs) / float64(n),
		}, nil
	}
}

// inBatches calls send for batch messages at a time until n are sent.
func inBatches(n, batch int, send func(n int) error) error {
	for left := n; left > 0; {
		size := min(batch, left)
		if err := send(size); err != nil {
			return err
		}
		left -= size
	}
	return nil
}

// fromMany calls send n times, from as many goroutines as there are publishers.
func fromMany(ctx context.Context, n int, send func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var left atomic.Int64
	left.Store(int64(n))
	ended := make(chan error, publishers)
	for range publishers {
		go func() {
			for left.Add(-1) >= 0 {
				if err := send(ctx); err != nil {
					cancel(err)
					ended <- err
					return
				}
			}
			ended <- nil
		}()
	}
	var first error
	for range publishers {
		if err := <-ended; err != nil && first == nil {
			first = err
		}
	}
	return first
}
