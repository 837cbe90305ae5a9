package pubsubtest

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// ErrInjected matches every error that a [Faulty] broker makes up.
var ErrInjected = errors.New("pubsubtest: injected fault")

// FaultOptions says what goes wrong, and how often. The zero value injects nothing. Ratios lie between 0, never, and
// 1, always; less counts as 0, more as 1.
type FaultOptions struct {
	// Seed makes the faults repeatable: the same seed picks the same messages to duplicate, and the same calls, in
	// their order, to fail. Zero is a seed like any other.
	Seed uint64
	// DuplicateRatio is the share of messages that each subscription gets twice, the copy after the original. Which
	// ones depends on Seed and their IDs alone. Zero and negative mean none.
	DuplicateRatio float64
	// FailPublishRatio is the share of Publish calls that fail with nothing stored. Zero and negative mean none.
	FailPublishRatio float64
	// LoseConfirmRatio is the share of Publish calls that store everything and fail all the same. Zero and negative
	// mean none.
	LoseConfirmRatio float64
	// FailFirst says how many Publish calls to a topic fail, with nothing stored, before the first may succeed. Nil, a
	// topic that is not in it, and a number of zero or less mean none.
	FailFirst map[string]int
	// DropAckRatio is the share of Ack calls that report success and do nothing. Zero and negative mean none.
	DropAckRatio float64
	// FailReceiveRatio is the share of Receive calls that fail, having taken nothing. Zero and negative mean none.
	FailReceiveRatio float64
	// ReorderRatio is the share of Receive calls that return what they took in another order: each key's deliveries keep
	// theirs. Zero and negative mean none.
	ReorderRatio float64
	// DelayRatio is the share of calls, of whatever method, that begin Delay late, within their context. Zero and
	// negative mean none.
	DelayRatio float64
	// Delay is how late. Zero means 100ms; negative means not at all.
	Delay time.Duration
	// FailCalls says which calls of a method fail with nothing done, counted from 1 for the broker and all its
	// subscriptions together. Nil, and numbers below 1, mean none.
	FailCalls map[Call][]int
	// CrashAtAck is the number of the Ack call, of those that nothing else makes fail, at which the subscription that
	// makes it dies, as a process does that ends between its handler's return and the acknowledgement: nothing is
	// acknowledged, the broker gets back all that the subscription held, and its Receive returns driver.ErrClosed. Zero
	// and negative mean never.
	CrashAtAck int
}

// Call is a method of a broker or of its subscriptions.
type Call string

// The methods, as package driver has them.
const (
	CallPublish   Call = "Publish"
	CallSubscribe Call = "Subscribe"
	CallPing      Call = "Ping"
	CallRedeliver Call = "Redeliver"
	CallBrowse    Call = "Browse"
	CallRemove    Call = "Remove"
	CallSeek      Call = "Seek"
	CallReceive   Call = "Receive"
	CallAck       Call = "Ack"
	CallRelease   Call = "Release"
	CallExtend    Call = "Extend"
	CallLag       Call = "Lag"
)

// Faults counts what a [Faulty] broker did.
type Faults struct {
	Duplicated       int // deliveries made twice
	FailedPublishes  int // Publish calls that failed, nothing stored
	LostConfirms     int // Publish calls that failed, everything stored
	DroppedAcks      int // deliveries whose acknowledgement was dropped
	FailedReceptions int // Receive calls that failed
	Reordered        int // Receive calls that returned another order
	Delayed          int // calls that began late
	FailedCalls      int // calls that failed because of FailCalls
	Refused          int // calls that failed because the broker was away
	Crashes          int // subscriptions that died
}

// Faulty is a broker in front of another that injects faults. It is safe for concurrent use.
type Faulty struct {
	b driver.Broker
	o FaultOptions

	mu        sync.Mutex
	rand      *rand.Rand
	faults    Faults
	failFirst map[string]int
	calls     map[Call]int
	acks      int // Ack calls that did not fail
	away      bool
	receiving map[*context.CancelFunc]struct{} // ends the Receive calls that are under way
}

// NewFaulty returns b with the faults of o in front. What an optional ability of package driver needs of b and b lacks
// returns an error that matches errors.ErrUnsupported; Declare and Ping do nothing then.
func NewFaulty(b driver.Broker, o FaultOptions) *Faulty {
	f := &Faulty{b: b, o: o, rand: rand.New(rand.NewPCG(o.Seed, 0)), failFirst: make(map[string]int),
		calls: make(map[Call]int), receiving: make(map[*context.CancelFunc]struct{})}
	for topic, n := range o.FailFirst {
		f.failFirst[topic] = n
	}
	return f
}

// Faults returns what f did so far.
func (f *Faulty) Faults() Faults {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.faults
}

// roll reports whether a fault of that ratio strikes now, and counts it by n in count.
func (f *Faulty) roll(ratio float64, count *int, n int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if ratio <= 0 || f.rand.Float64() >= ratio {
		return false
	}
	*count += n
	return true
}

// Publish implements driver.Broker.
func (f *Faulty) Publish(ctx context.Context, topic string, ms []driver.Message) error {
	if err := f.begin(ctx, CallPublish); err != nil {
		return err
	}
	if f.failsFirst(topic) || f.roll(f.o.FailPublishRatio, &f.faults.FailedPublishes, 1) {
		return ErrInjected
	}
	if err := f.b.Publish(ctx, topic, ms); err != nil {
		return err
	}
	if !f.roll(f.o.LoseConfirmRatio, &f.faults.LostConfirms, 1) {
		return nil
	}
	e := &driver.PublishError{Err: ErrInjected}
	for i := range ms {
		e.Indexes = append(e.Indexes, i)
	}
	return e
}

func (f *Faulty) failsFirst(topic string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failFirst[topic] <= 0 {
		return false
	}
	f.failFirst[topic]--
	f.faults.FailedPublishes++
	return true
}

// Subscribe implements driver.Broker.
func (f *Faulty) Subscribe(ctx context.Context, o driver.SubscribeOptions) (driver.Subscription, error) {
	if err := f.begin(ctx, CallSubscribe); err != nil {
		return nil, err
	}
	sub, err := f.b.Subscribe(ctx, o)
	if err != nil {
		return nil, err
	}
	return &faultySubscription{Subscription: sub, f: f}, nil
}

// Declare implements driver.Declarer.
func (f *Faulty) Declare(ctx context.Context, topics []string) error {
	if d, ok := f.b.(driver.Declarer); ok {
		return d.Declare(ctx, topics)
	}
	return nil
}

// Ping implements driver.Pinger.
func (f *Faulty) Ping(ctx context.Context) error {
	if err := f.begin(ctx, CallPing); err != nil {
		return err
	}
	if p, ok := f.b.(driver.Pinger); ok {
		return p.Ping(ctx)
	}
	return nil
}

// System implements driver.System.
func (f *Faulty) System() string {
	if s, ok := f.b.(driver.System); ok {
		return s.System()
	}
	return ""
}
