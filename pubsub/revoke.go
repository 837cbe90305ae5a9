package pubsub

import (
	"context"
	"sync"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// revocations carries what the broker takes back, from whatever goroutine the driver says so in, to the loop.
type revocations struct {
	mu   sync.Mutex
	ds   []*driver.Delivery
	some chan struct{} // holds a token while ds may not be empty
}

func newRevocations() *revocations { return &revocations{some: make(chan struct{}, 1)} }

// add is driver.SubscribeOptions.Revoke. It does not keep ds.
func (r *revocations) add(ds []*driver.Delivery) {
	r.mu.Lock()
	r.ds = append(r.ds, ds...)
	r.mu.Unlock()
	select {
	case r.some <- struct{}{}:
	default:
	}
}

func (r *revocations) take() []*driver.Delivery {
	r.mu.Lock()
	defer r.mu.Unlock()
	ds := r.ds
	r.ds = nil
	return ds
}

// revoke lets go of what the broker takes back.
func (l *loop) revoke(work context.Context) {
	ds := l.revoked.take()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.letGo(work, append(ds, l.late...))
}

// letGo lets go of ds: those that do not run are released at once, the others when they end. A key leaves as a
// whole, so that nothing of it is handled here once its next message may be handled elsewhere.
func (l *loop) letGo(work context.Context, ds []*driver.Delivery) {
	leaving := make(map[*driver.Delivery]bool, len(ds))
	for _, d := range ds {
		leaving[d] = true
	}
	keys := make(map[string]bool)
	for _, it := range l.held {
		if leaving[it.d] && !it.settling {
			it.revoked = true
			keys[it.key] = it.key != ""
		}
		delete(leaving, it.d)
	}
	for _, it := range l.held {
		it.revoked = it.revoked || keys[it.key] && !it.settling
	}
	l.release(work, l.takeRevoked(), 0)
	l.late = l.late[:0]
	for d := range leaving {
		if l.asking { // it may be on its way from Receive; what is not was settled before
			l.late = append(l.late, d)
		}
	}
}
