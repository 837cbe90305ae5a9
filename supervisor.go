package mainstay

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// supervisor is one call of Run. Only the goroutine that called Run touches it and its processes' fields; a process
// reports its end by sending itself to ended.
type supervisor struct {
	Options
	signals   <-chan os.Signal
	ended     chan *process // has room for every process, so that one that was cut off can still end
	processes []*process    // in start order
	signalled int           // signals received
}

// process is one runner that has been started.
type process struct {
	runner   Runner
	name     string
	cancel   context.CancelFunc
	result   error // written before the process is sent to ended
	running  bool
	stopping bool  // its context has ended
	err      error // what Run reports
}

// start starts the runners in order and returns why it had to stop before the last was ready, "" if it had not.
func (s *supervisor) start(ctx context.Context, runners []Runner) string {
	for _, r := range runners {
		if reason := s.poll(ctx); reason != "" {
			return reason
		}
		if reason := s.startOne(ctx, r); reason != "" {
			return reason
		}
	}
	return ""
}

// startOne starts r and waits until it is ready.
func (s *supervisor) startOne(ctx context.Context, r Runner) string {
	p := &process{runner: r, name: runnerName(r), running: true}
	ready := readiness(r)
	var runCtx context.Context
	runCtx, p.cancel = context.WithCancel(context.WithoutCancel(ctx))
	s.processes = append(s.processes, p)
	go func() {
		// Deferred, so that a runner that calls runtime.Goexit is missed by nobody.
		defer func() {
			if v := recover(); v != nil {
				// Told of the end, Run might return, and main exit, before the panic has ended the process with its stack.
				panic(v)
			}
			s.ended <- p
		}()
		p.result = errors.New("ended its goroutine without returning")
		p.result = r.Run(runCtx)
	}()
	s.Logger.InfoContext(ctx, "starting", "runner", p.name)

	var timeout <-chan time.Time
	if _, isOnce := r.(once); !isOnce && s.StartTimeout > 0 {
		t := time.NewTimer(s.StartTimeout)
		defer t.Stop()
		timeout = t.C
	}
	for p.running {
		select {
		case <-ready:
			return ""
		case q := <-s.ended:
			if reason := s.note(q); reason != "" {
				return reason
			}
		case <-ctx.Done():
			return "the context ended"
		case sig := <-s.signals:
			return s.signal(sig)
		case <-timeout:
			p.err = fmt.Errorf("mainstay: run %q: not ready after %v", p.name, s.StartTimeout)
			return p.name + " did not get ready"
		}
	}
	return ""
}

// poll returns why to stop, "" when nothing says so now.
func (s *supervisor) poll(ctx context.Context) string {
	select {
	case p := <-s.ended:
		return s.note(p)
	case <-ctx.Done():
		return "the context ended"
	case sig := <-s.signals:
		return s.signal(sig)
	default:
		return ""
	}
}

// watch waits for a reason to stop. "" means that nothing runs any more.
func (s *supervisor) watch(ctx context.Context) string {
	for s.running() > 0 {
		select {
		case p := <-s.ended:
			if reason := s.note(p); reason != "" {
				return reason
			}
		case <-ctx.Done():
			return "the context ended"
		case sig := <-s.signals:
			return s.signal(sig)
		}
	}
	return ""
}

// note records that p has ended, and returns why the others have to, "" if they have not.
func (s *supervisor) note(p *process) string {
	p.running = false
	err := p.result
	if p.stopping && err == context.Canceled { //nolint:errorlint // a wrapped one says what was interrupted
		err = nil
	}
	if err != nil {
		p.err = errors.Join(p.err, fmt.Errorf("mainstay: run %q: %w", p.name, err))
		return p.name + " ended with an error"
	}
	if _, isOnce := p.runner.(once); isOnce {
		return ""
	}
	return p.name + " ended"
}

func (s *supervisor) signal(sig os.Signal) string {
	s.signalled++
	return "signal: " + sig.String()
}

// stop drains what runs, and returns when nothing does or there is no more time.
func (s *supervisor) stop(ctx context.Context, reason string) {
	defer func() {
		for _, p := range s.processes {
			p.end()
		}
	}()
	if s.running() == 0 {
		return
	}
	s.Logger.InfoContext(ctx, "stopping", "reason", reason)
	begin := time.Now()
	for _, p := range s.processes {
		if d, ok := p.runner.(interface{ Drain() }); ok && p.running {
			d.Drain()
		}
	}
	s.wait(s.DrainDelay, func() bool { return s.running() == 0 })
	s.stopInReverse(ctx, begin.Add(s.Grace))
	s.wait(s.left(begin.Add(s.Grace)), func() bool { return s.running() == 0 })
}

// stopInReverse ends the contexts, the last one first, and waits for each process as long as it may without taking
// from what is reserved for those before it.
func (s *supervisor) stopInReverse(ctx context.Context, deadline time.Time) {
	toCome := s.running()
	reserve := s.left(deadline) / time.Duration(2*max(toCome, 1))
	for _, p := range slices.Backward(s.processes) {
		if !p.running {
			continue
		}
		p.end()
		toCome--
		limit := s.left(deadline)
		if limit >= 0 {
			limit = max(limit-reserve*time.Duration(toCome), 0)
		}
		ended := s.wait(limit, func() bool { return !p.running })
		if s.signalled > 1 {
			return
		}
		if !ended {
			s.Logger.WarnContext(ctx, "slow to stop, going on without it", "runner", p.name)
		}
	}
}

// left returns the time until deadline, at least zero; negative where Grace is unbounded.
func (s *supervisor) left(deadline time.Time) time.Duration {
	if s.Grace < 0 {
		return -1
	}
	return max(time.Until(deadline), 0)
}

// wait takes note of ended processes until done is true. It reports false where limit passed, negative being none, or
// a second signal came before that.
func (s *supervisor) wait(limit time.Duration, done func() bool) bool {
	var timeout <-chan time.Time
	if limit >= 0 {
		t := time.NewTimer(limit)
		defer t.Stop()
		timeout = t.C
	}
	for !done() {
		if s.signalled > 1 {
			return false
		}
		select {
		case p := <-s.ended:
			s.note(p)
		case sig := <-s.signals:
			s.signal(sig)
		case <-timeout:
			return false
		}
	}
	return true
}

func (s *supervisor) running() int {
	n := 0
	for _, p := range s.processes {
		if p.running {
			n++
		}
	}
	return n
}

// end ends p's context.
func (p *process) end() {
	p.stopping = true
	p.cancel()
}

// err joins what the processes have to report, in start order.
func (s *supervisor) err() error {
	for range len(s.ended) { // what ended while nobody waited for it
		s.note(<-s.ended)
	}
	var errs []error
	for _, p := range s.processes {
		if p.running {
			p.err = errors.Join(p.err, fmt.Errorf("mainstay: run %q: %w", p.name, ErrCutOff))
		}
		errs = append(errs, p.err)
	}
	return errors.Join(errs...)
}

func runnerName(r Runner) string {
	if s, ok := r.(fmt.Stringer); ok {
		return s.String()
	}
	return fmt.Sprintf("%T", r)
}

// readiness returns a channel that is closed once r is ready; nil, which never is, where r is a Once.
func readiness(r Runner) <-chan struct{} {
	if _, isOnce := r.(once); isOnce {
		return nil
	}
	if w, ok := r.(interface{ Ready() <-chan struct{} }); ok {
		return w.Ready()
	}
	ready := make(chan struct{})
	close(ready)
	return ready
}
