package natspubsub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

const (
	// pullWait is how long the server holds a request for messages when there is none.
	pullWait = 5 * time.Second
	// checkEvery is how soon a lost connection is noticed by a Receive that waits.
	checkEvery = 500 * time.Millisecond
	// idlePause follows a request that the server ended at once and empty, because other processes wait already.
	idlePause = 100 * time.Millisecond
)

// subscription reads one durable consumer by pull requests, answered to an inbox that outlives them.
type subscription struct {
	b    *Broker
	o    driver.SubscribeOptions
	msgs chan *nats.Msg
	tick *time.Ticker

	mu    sync.Mutex
	inbox *nats.Subscription // nil when there is none; guarded by mu
	reply string             // inbox prefix; a request's number follows

	pin     *pin // nil where no order across processes was asked for
	stream  stream
	subject string // that takes pull requests; guarded by mu
	last    uint64 // highest stream sequence received, or delivered before this process came

	request  request // the one that is open
	requests int

	closed chan struct{}
	close  sync.Once
	err    error // of close
}

// request is a pull request that the server may still answer.
type request struct {
	open       bool
	reply      string
	asked      int // messages
	left       int // of these, those that may still come
	pin        string
	sent       time.Time
	reconnects uint64
}

// Subscribe opens the durable consumer of o.Name on o.Topic. It implements driver.Broker.
// Where o.Ordered is set one process at a time receives; the others take over when it ends.
func (b *Broker) Subscribe(ctx context.Context, o driver.SubscribeOptions) (driver.Subscription, error) {
	s := &subscription{
		b: b, o: o,
		// Room for every message of a request and the statuses of some: a full channel makes the client drop.
		msgs:   make(chan *nats.Msg, o.MaxInFlight+64),
		closed: make(chan struct{}),
	}
	if err := s.attach(ctx, 0); err != nil {
		return nil, err
	}
	if o.Ordered {
		s.pin = newPin(s)
		s.pin.keeper.Go(s.pin.keep)
	}
	s.tick = time.NewTicker(checkEvery)
	return s, nil
}

// attach finds or creates stream and consumer, the latter beginning at start.
func (s *subscription) attach(ctx context.Context, start uint64) error {
	str, err := s.b.ensureStream(ctx, s.o.Topic)
	if err != nil {
		return err
	}
	if !s.stream.created.IsZero() && !str.created.Equal(s.stream.created) {
		start = 1 // all of a new stream is new
	}
	c, err := s.b.ensureConsumer(ctx, str, s.o, start)
	if err != nil {
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			s.b.forgetStream(s.o.Topic)
		}
		return fmt.Errorf("natspubsub: consumer of %q on %q: %w", s.o.Name, s.o.Topic, err)
	}
	info := c.CachedInfo()
	s.stream = str
	s.last = info.Delivered.Stream
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subject = apiPrefix(s.b.js.Options()) + "CONSUMER.MSG.NEXT." + str.name + "." + info.Name
	return nil
}

func (s *subscription) pullSubject() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.subject
}

// apiPrefix is where the JetStream API listens, dot included.
func apiPrefix(o jetstream.JetStreamOptions) string {
	switch {
	case o.APIPrefix != "":
		return strings.TrimSuffix(o.APIPrefix, ".") + "."
	case o.Domain != "":
		return "$JS." + o.Domain + ".API."
	}
	return jetstream.DefaultAPIPrefix
}

// Receive implements driver.Subscription.
func (s *subscription) Receive(ctx context.Context, n int) ([]*driver.Delivery, error) {
	if s.pin != nil {
		return s.pin.receive(ctx, n)
	}
	return s.receive(ctx, n)
}

func (s *subscription) receive(ctx context.Context, n int) ([]*driver.Delivery, error) {
	var got []*driver.Delivery
	for {
		if err := s.ask(n - len(got)); err != nil {
			return nil, err
		}
		msg, err := s.next(ctx)
		switch {
		case err != nil && ctx.Err() != nil:
			return s.withdraw(ctx, got)
		case err != nil && len(got) > 0:
			return got, nil // and the next call reports it
		case err != nil:
			return nil, err
		case msg == nil: // nothing may come any more, or the request is lost
		default:
			d, err := s.delivery(msg)
			if err != nil {
				return got, err
			}
			got = append(got, d)
		}
		if len(got) == n || len(got) > 0 && !s.request.open {
			return got, nil
		}
	}
}

// withdraw ends the open request when ctx has ended: a message that the server gave it later would wait here for its
// lease to end. What the server had sent already is returned.
func (s *subscription) withdraw(ctx context.Context, got []*driver.Delivery) ([]*driver.Delivery, error) {
	if s.request.open {
		s.request.open = false
		// One that is pinned keeps its inbox until it has let go of the pin: nobody else is given anything before.
		if s.pin == nil || s.pin.current() == "" {
			if err := s.dropInbox(ctx); err != nil {
				return got, err
			}
		}
	}
	for {
		select {
		case msg := <-s.msgs:
			if status(msg) != "" {
				continue
			}
			d, err := s.delivery(msg)
			if err != nil {
				return got, err
			}
			got = append(got, d)
			continue
		default:
		}
		if len(got) > 0 {
			return got, nil
		}
		return nil, ctx.Err()
	}
}

// openInbox subscribes to an inbox where there is none.
func (s *subscription) openInbox() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inbox != nil || s.over(context.Background()) != nil {
		return nil
	}
	s.reply = s.b.nc.NewInbox() + "."
	var err error
	if s.inbox, err = s.b.nc.ChanSubscribe(s.reply+"*", s.msgs); err != nil {
		return fmt.Errorf("natspubsub: receive: %w", err)
	}
	return nil
}

// dropInbox gives the inbox up and returns once all that was sent to it is in s.msgs. In a cluster, what another server
// had on its way is not: it comes back when its lease ends.
func (s *subscription) dropInbox(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inbox == nil || s.b.nc.IsClosed() {
		return nil
	}
	inbox := s.inbox
	s.inbox = nil
	// Drain, unlike Unsubscribe, still takes what is on its way.
	if err := inbox.Drain(); err != nil {
		return fmt.Errorf("natspubsub: %w", err)
	}
	if !s.b.nc.IsConnected() {
		return nil // the server has forgotten the request with the connection
	}
	return s.b.flush(context.WithoutCancel(ctx))
}

// ask opens a pull request for n messages, unless one is open. The server answers with what it has at once and ends
// the request; when it has nothing, it waits for the first.
func (s *subscription) ask(n int) error {
	if s.request.open {
		return nil
	}
	if s.b.nc.IsClosed() {
		return permanentError{fmt.Errorf("natspubsub: %w", nats.ErrConnectionClosed)}
	}
	if err := s.openInbox(); err != nil {
		return err
	}
	what := pull{Batch: n, Expires: pullWait, NoWait: true}
	if s.pin != nil {
		s.pin.shape(&what)
	}
	s.requests++
	s.request = request{
		open: true, reply: s.reply + strconv.Itoa(s.requests), asked: what.Batch, left: what.Batch, pin: what.ID,
		sent: time.Now(), reconnects: s.b.nc.Stats().Reconnects,
	}
	body, err := json.Marshal(what)
	if err != nil {
		return fmt.Errorf("natspubsub: %w", err)
	}
	if err := s.b.nc.PublishRequest(s.pullSubject(), s.request.reply, body); err != nil {
		s.request.open = false
		return fmt.Errorf("natspubsub: receive: %w", err)
	}
	return nil
}

// pull is a request for messages, as the JetStream API has it. NoWait with Expires is one shot: what is there, or else
// the first that comes.
type pull struct {
	Batch    int           `json:"batch"`
	Expires  time.Duration `json:"expires,omitempty"`
	NoWait   bool          `json:"no_wait,omitempty"`
	MaxBytes int           `json:"max_bytes,omitempty"`
	Group    string        `json:"group,omitempty"`
	ID       string        `json:"id,omitempty"`
}

// next returns the next message; nil when the open request has ended.
func (s *subscription) next(ctx context.Context) (*nats.Msg, error) {
	for {
		if err := s.over(ctx); err != nil {
			return nil, err
		}
		select {
		case <-s.closed:
			return nil, driver.ErrClosed
		case <-ctx.Done():
			return nil, ctx.Err()
		case msg := <-s.msgs:
			if code := status(msg); code != "" {
				return nil, s.ended(ctx, msg, code)
			}
			// One that comes late, to a request given up, is as good as any.
			if s.request.left--; s.request.left == 0 {
				s.request.open = false
			}
			return msg, nil
		case <-s.tick.C:
			if err := s.lost(); err != nil || !s.request.open {
				return nil, err
			}
		}
	}
}

// over says why nothing more is received. A select alone would take a message now and then that nobody wants.
func (s *subscription) over(ctx context.Context) error {
	select {
	case <-s.closed:
		return driver.ErrClosed
	default:
		return ctx.Err()
	}
}

// status returns the status code of a message that carries no payload but one, "" of any other.
func status(m *nats.Msg) string {
	if len(m.Data) > 0 || m.Reply != "" {
		return ""
	}
	return m.Header.Get("Status")
}

// ended acts on a status: the request it belongs to has ended.
func (s *subscription) ended(ctx context.Context, m *nats.Msg, code string) error {
	if m.Subject != s.request.reply {
		return nil // of a request that was given up
	}
	s.request.open = false
	text := m.Header.Get("Description")
	idle := s.request.left == s.request.asked
	if s.pin != nil {
		s.pin.ended(idle)
	}
	switch {
	case code == statusWrongPin && s.pin != nil:
		s.pin.lost(s.request.pin)
		return nil
	case code == "404", code == "408":
		// A request that brought something is no idle one: what it brought must not wait for a pause.
		if idle && time.Since(s.request.sent) < idlePause {
			return s.pause(ctx)
		}
		return nil
	case code == "503", code == "409" && strings.Contains(text, "Consumer Deleted"):
		return s.recover(ctx)
	}
	return fmt.Errorf("natspubsub: receive: status %s %s", code, text)
}

func (s *subscription) pause(ctx context.Context) error {
	t := time.NewTimer(idlePause)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.closed:
		return driver.ErrClosed
	}
}

// recover attaches again when nobody answers for the consumer: somebody deleted it, or its leader is away.
func (s *subscription) recover(ctx context.Context) error {
	// The server tells a stream's consumers before it has removed the stream's files, and would remove those of a
	// stream that takes the name meanwhile.
	if err := s.pause(ctx); err != nil {
		return err
	}
	s.b.forgetStream(s.o.Topic)
	return s.attach(ctx, s.last+1)
}

// lost ends the open request when no answer can come any more.
func (s *subscription) lost() error {
	nc := s.b.nc
	switch {
	case nc.IsClosed():
		return permanentError{fmt.Errorf("natspubsub: %w", nats.ErrConnectionClosed)}
	case !nc.IsConnected():
		s.request.open = false
		return fmt.Errorf("natspubsub: %w", nats.ErrDisconnected)
	case nc.Stats().Reconnects != s.request.reconnects, time.Since(s.request.sent) > pullWait+time.Second:
		s.request.open = false
	}
	return nil
}

// received is a delivery and its own handle, so that one costs one allocation.
type received struct {
	driver.Delivery
	reply string // where answers go
}

func (s *subscription) delivery(m *nats.Msg) (*driver.Delivery, error) {
	at, ok := parseReply(m.Reply)
	if !ok {
		return nil, fmt.Errorf("natspubsub: receive: %q is no acknowledgement subject", m.Reply)
	}
	s.last = max(s.last, at.seq)
	r := &received{reply: m.Reply}
	r.Delivery = driver.Delivery{
		Message:   driver.Message{Attributes: decodeHeader(m.Header), Data: m.Data},
		Attempt:   int(at.delivered),
		Published: time.Unix(0, int64(at.stored)),
		Position:  position(at.stream, at.seq),
		Handle:    r,
	}
	if s.pin != nil {
		s.pin.took(&r.Delivery, m.Header.Get(pinID), at.seq)
	}
	return &r.Delivery, nil
}

// replyOf returns where answers to a delivery go.
func replyOf(d *driver.Delivery) string {
	r, ok := d.Handle.(*received)
	if !ok {
		return ""
	}
	return r.reply
}

// forget says that ds are held no longer.
func (s *subscription) forget(ds []*driver.Delivery) {
	if s.pin != nil {
		s.pin.settled(ds)
	}
}

// Ack returns once the server has received the acknowledgements, or has applied them where Options.ConfirmAcks asks.
func (s *subscription) Ack(ctx context.Context, ds []*driver.Delivery) error {
	s.forget(ds)
	if s.b.o.ConfirmAcks {
		return s.confirm(ctx, ds, "+ACK")
	}
	return s.answer(ctx, ds, "+ACK")
}

// Release implements driver.Subscription.
func (s *subscription) Release(ctx context.Context, ds []*driver.Delivery, delay time.Duration) error {
	s.forget(ds)
	if delay <= 0 && s.pin != nil {
		return s.confirm(ctx, ds, "-NAK") // before the next request, or what follows goes first
	}
	if delay <= 0 {
		return s.answer(ctx, ds, "-NAK")
	}
	return s.answer(ctx, ds, fmt.Sprintf(`-NAK {"delay": %d}`, delay.Nanoseconds()))
}

// Extend implements driver.Subscription.
func (s *subscription) Extend(ctx context.Context, ds []*driver.Delivery) error {
	return s.answer(ctx, ds, "+WPI")
}

// answer publishes an answer to each delivery. It goes to the subject that came with the message, so that it works
// also for those of a subscription that is closed.
func (s *subscription) answer(ctx context.Context, ds []*driver.Delivery, what string) error {
	for _, d := range ds {
		if err := s.b.nc.Publish(replyOf(d), []byte(what)); err != nil {
			return fmt.Errorf("natspubsub: %w", err)
		}
	}
	if err := s.b.flush(ctx); err != nil {
		return fmt.Errorf("natspubsub: %w", err)
	}
	return nil
}

// Close gives back what had arrived and was not received. What was received comes back when its lease ends, or at once
// where order across processes was asked for.
func (s *subscription) Close(ctx context.Context) error {
	s.close.Do(func() { s.shut(ctx) })
	return s.err
}

func (s *subscription) shut(ctx context.Context) {
	close(s.closed)
	s.tick.Stop()
	var err error
	if s.pin != nil {
		err = s.pin.giveUp(ctx)
	}
	err = errors.Join(err, s.dropInbox(ctx), s.giveBack())
	if err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		s.err = fmt.Errorf("natspubsub: close: %w", err)
	}
}

// giveBack releases what has arrived and was not received.
func (s *subscription) giveBack() error {
	var err error
	for {
		select {
		case m := <-s.msgs:
			if status(m) == "" {
				err = errors.Join(err, s.b.nc.Publish(m.Reply, []byte("-NAK")))
			}
		default:
			return err
		}
	}
}
