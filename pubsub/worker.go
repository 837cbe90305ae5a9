package pubsub

import (
	"context"
	"time"
)

// job is what one worker does at a time: a step with one item, or a batch.
type job struct {
	it    *item
	batch []*item // where it is nil
}

// rouse gets one more worker to look for something to do, where there is any. That one does the same for the next, so
// that a burst of cheap messages does not wake all of them. Workers live as long as the loop: a goroutine for each
// message would cost more than what most handlers do.
func (l *loop) rouse(work context.Context) {
	if l.roused || !l.startable() {
		return
	}
	switch {
	case l.idle > 0:
		l.roused = true
		l.more.Signal()
	case l.workers < l.s.o.Concurrency:
		l.roused = true
		l.workers++
		go l.worker(work)
	}
}

// worker does one job after the other.
func (l *loop) worker(work context.Context) {
	ended := false
	defer func() {
		if !ended { // a handler ended this goroutine, and its message was reported: another takes its place
			go l.worker(work)
			return
		}
		l.exited <- struct{}{}
	}()
	var done []result
	for {
		j, ok := l.report(work, done)
		if !ok {
			break
		}
		done = l.perform(work, j, done[:0])
	}
	ended = true
}

// report takes in what came of the last job, if there was one, and waits for the next. It returns false when there is
// no more to come.
func (l *loop) report(work context.Context, done []result) (job, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(done) == 0 {
		l.roused = false // it was this one
	}
	l.note(work, done)
	for !l.dismissed {
		if l.startable() {
			j := l.begin()
			l.rouse(work)
			l.nudge()
			return j, true
		}
		l.nudge()
		l.idle++
		l.more.Wait()
		l.idle--
		l.roused = false
	}
	return job{}, false
}

// note takes in results of one job.
func (l *loop) note(work context.Context, done []result) {
	if len(done) == 0 || l.dismissed { // then it was left behind
		return
	}
	l.busy--
	for _, r := range done {
		l.finish(work, r)
	}
	clear(done) // the worker keeps the room
}

// startable reports whether there is a job to begin with now. Once the loop is stopping nothing is ready.
func (l *loop) startable() bool {
	if len(l.ready) == 0 {
		l.batchDue = time.Time{}
		return false
	}
	return l.s.batchHandler == nil || l.ready[0].alone() || l.batchStartable(time.Now())
}

// begin takes the next job, which has to be there.
func (l *loop) begin() job {
	l.busy++
	if l.s.batchHandler == nil || l.ready[0].alone() {
		return job{it: l.start()}
	}
	return job{batch: l.nextBatch()}
}

// start takes the item that has been ready longest, to be run.
func (l *loop) start() *item {
	it := l.next()
	it.running = true
	l.running++
	return it
}

// perform does j and appends what comes of it to done. Where a handler ends this goroutine, that is reported from here.
func (l *loop) perform(work context.Context, j job, done []result) []result {
	err, returned := errGoexit, false
	defer func() {
		if returned {
			return
		}
		done = l.s.outcome(work, j, err, done)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.note(work, done)
		l.nudge()
	}()
	err = l.s.step(work, j)
	returned = true
	return l.s.outcome(work, j, err, done)
}

// dismiss ends the workers and waits for them, less those whose handlers are left behind: they end with these.
func (l *loop) dismiss() {
	l.mu.Lock()
	l.dismissed = true
	free := l.workers - l.busy
	l.more.Broadcast()
	l.mu.Unlock()
	for range free {
		<-l.exited
	}
}
