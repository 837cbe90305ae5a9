package pubsub

import "context"

// Pause makes the subscription receive nothing more until Resume. Handlers that run go on to their end. What else it
// holds is released, as at a stop, so that other consumers of the same name handle it: leases are not kept, and what
// waited for another attempt begins to count anew. Pause returns at once, may be called at any time, also before Run, and
// more than once.
func (s *Subscription) Pause() { s.setPaused(true) }

// Resume ends a pause. It returns at once, and does nothing where there is none, or after Drain.
func (s *Subscription) Resume() { s.setPaused(false) }

// Paused reports whether the last call was Pause.
func (s *Subscription) Paused() bool { return s.paused.Load() }

func (s *Subscription) setPaused(paused bool) {
	if s.paused.Swap(paused) == paused {
		return
	}
	select {
	case s.pausing <- struct{}{}:
	default: // the loop has still to look
	}
}

// heed does what Pause or Resume asked for: it ends receive, or returns one that takes its place.
func (l *loop) heed(ctx, work, receive context.Context, end context.CancelFunc) (
	context.Context, context.CancelFunc,
) {
	paused := l.s.paused.Load()
	if !l.setPaused(paused) {
		return receive, end
	}
	if paused {
		l.s.log.InfoContext(ctx, "subscription is paused")
		end() // before what is released below comes straight back
		l.mu.Lock()
		defer l.mu.Unlock()
		l.releaseIdle(work)
		return receive, end
	}
	l.s.log.InfoContext(ctx, "subscription is resumed")
	select {
	case <-l.s.draining:
		return receive, end
	default:
		return context.WithCancel(ctx)
	}
}

// setPaused reports whether that changes anything.
func (l *loop) setPaused(paused bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopping || paused == l.paused {
		return false
	}
	l.paused = paused
	return true
}
