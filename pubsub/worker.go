package pubsub

import "context"

// job is what one worker does at a time: a step with one item, or a batch.
type job struct {
	it    *item
	batch []*item // where it is nil
}

// hand gives j to a worker, which lives as long as the loop: a goroutine for each message would cost more than what
// most handlers do. There is one for whatever may run at once, begun when it is first needed.
func (l *loop) hand(work context.Context, j job) {
	l.busy++
	if j.it != nil {
		l.running[j.it] = struct{}{}
	}
	for _, it := range j.batch {
		l.running[it] = struct{}{}
	}
	if l.workers < l.busy {
		l.workers++
		go l.worker(work)
	}
	l.todo <- j // has room for every worker
}

func (l *loop) worker(work context.Context) {
	ended := false
	defer func() {
		if !ended { // a handler ended this goroutine, and its message was reported: another takes its place
			go l.worker(work)
			return
		}
		l.exited <- struct{}{}
	}()
	for j := range l.todo {
		if j.it != nil {
			l.s.process(work, j.it, l.done)
		} else {
			l.s.processBatch(work, j.batch, l.done)
		}
	}
	ended = true
}

// dismiss waits for the workers to end, less those whose handlers are left behind: they end with these.
func (l *loop) dismiss() {
	close(l.todo)
	for range max(l.workers-l.busy, 0) {
		<-l.exited
	}
}
