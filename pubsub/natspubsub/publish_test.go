package natspubsub_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/natspubsub"
)

const (
	// window is how many messages of a call may be unconfirmed.
	window = 256
	// What a stream answers.
	taken   = `{"stream":"S","seq":1}`
	refused = `{"error":{"code":400,"err_code":10077,"description":"maximum messages exceeded"},"stream":"S","seq":0}`
)

// script is a stream that answers as a test says.
type script struct {
	*natspubsub.Broker
	conn   *nats.Conn // the publisher's
	server *nats.Conn // the stream's
	sub    *nats.Subscription

	mu      sync.Mutex
	got     []string // data, in the order in which they came
	replies map[string]string
	answer  func(data string) []string
}

// openScript opens a topic "orders" whose messages answer is asked about: what it returns is sent back at once.
func openScript(t *testing.T, answer func(data string) []string) *script {
	t.Helper()
	n := startServer(t)
	s := &script{conn: n.conn, server: connect(t, n.s.ClientURL()), answer: answer, replies: make(map[string]string)}
	s.Broker = natspubsub.New(oneStream{JetStream: jetStream(t, n.conn)}, nil)
	var err error
	if s.sub, err = s.server.Subscribe("orders", s.take); err != nil {
		t.Fatal(err)
	}
	if err := s.server.Flush(); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *script) take(m *nats.Msg) {
	data := string(m.Data)
	s.mu.Lock()
	s.got = append(s.got, data)
	s.replies[data] = m.Reply
	answer := s.answer
	s.mu.Unlock()
	for _, a := range answer(data) {
		s.reply(data, a)
	}
}

func (s *script) reply(data, answer string) {
	s.mu.Lock()
	to := s.replies[data]
	s.mu.Unlock()
	_ = s.server.Publish(to, []byte(answer))
}

// received returns what had been sent when it was called.
func (s *script) received(t *testing.T) []string {
	t.Helper()
	if err := errors.Join(s.conn.Flush(), s.server.Flush()); err != nil {
		t.Fatal(err)
	}
	until(t, "all that was sent is taken", func() bool { n, _, _ := s.sub.Pending(); return n == 0 })
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.got)
}

// arrived returns once all that was answered is in the publisher's hands.
func (s *script) arrived(t *testing.T, n int) {
	t.Helper()
	until(t, fmt.Sprint(n, " messages are taken"), func() bool { return len(s.received(t)) >= n })
	if err := errors.Join(s.server.Flush(), s.conn.Flush()); err != nil {
		t.Error(err)
	}
}

// oneStream has one stream, whatever it is asked for.
type oneStream struct{ jetstream.JetStream }

func (oneStream) StreamNameBySubject(context.Context, string) (string, error) {
	return "S", nil
}

func (oneStream) Stream(context.Context, string) (jetstream.Stream, error) { return aStream{}, nil }

type aStream struct{ jetstream.Stream }

func (aStream) CachedInfo() *jetstream.StreamInfo {
	return &jetstream.StreamInfo{Config: jetstream.StreamConfig{
		Name: "S", Subjects: []string{">"}, Duplicates: time.Hour, Replicas: 1,
	}}
}

// messages have their numbers, from 0, for data.
func messages(n int) []driver.Message {
	ms := make([]driver.Message, n)
	for i := range ms {
		ms[i] = driver.Message{ID: fmt.Sprint(i), Data: fmt.Append(nil, i)}
	}
	return ms
}

// unsure returns the indexes that a *driver.PublishError names.
func unsure(t *testing.T, err error) []int {
	t.Helper()
	e, ok := errors.AsType[*driver.PublishError](err)
	if !ok {
		t.Fatalf("Publish = %v, want a *driver.PublishError", err)
	}
	return e.Indexes
}

func numbers(from, to int) (is []int) {
	for i := from; i < to; i++ {
		is = append(is, i)
	}
	return is
}

func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

func silent(string) []string { return nil }

func willing(string) []string { return []string{taken} }

// hooked calls hook each time that somebody has asked whether it has ended, with how often that was before.
type hooked struct {
	context.Context
	asked int
	hook  func(asked int)
}

func (h *hooked) Err() error {
	err := h.Context.Err()
	h.hook(h.asked)
	h.asked++
	return err
}

func TestAWindowBoundsWhatIsUnconfirmed(t *testing.T) {
	s := openScript(t, silent)
	const total = 2*window + 10
	ended := make(chan error, 1)
	go func() { ended <- s.Publish(t.Context(), "orders", messages(total)) }()
	s.arrived(t, window)
	if got := len(s.received(t)); got != window {
		t.Fatalf("%d messages are sent and none is confirmed, want %d", got, window)
	}
	// One that is confirmed lets the next one go: it is no barrier.
	s.reply("7", taken)
	s.arrived(t, window+1)
	if got := s.received(t); len(got) != window+1 {
		t.Errorf("%d messages are sent when one is confirmed, want %d", len(got), window+1)
	}
	for i := range total {
		until(t, "it is sent", func() bool { return len(s.received(t)) > i })
		s.reply(fmt.Sprint(i), taken)
	}
	if err := <-ended; err != nil {
		t.Errorf("Publish = %v, want nil", err)
	}
}

func TestNothingIsSentAfterAFailure(t *testing.T) {
	t.Run("BeyondTheWindow", func(t *testing.T) {
		s := openScript(t, silent)
		ended := make(chan error, 1)
		go func() { ended <- s.Publish(t.Context(), "orders", messages(2*window)) }()
		s.arrived(t, window)
		s.reply("3", refused)
		for _, data := range s.received(t) {
			s.reply(data, taken)
		}
		err := <-ended
		if got, want := unsure(t, err), append([]int{3}, numbers(window, 2*window)...); !slices.Equal(got, want) {
			t.Errorf("unsure about %v, want %v", got, want)
		}
		var api *jetstream.APIError
		if !errors.As(err, &api) || api.ErrorCode != 10077 {
			t.Errorf("Publish = %v, want the stream's reason", err)
		}
		if got := len(s.received(t)); got != window {
			t.Errorf("%d messages are sent, want those of the window, %d", got, window)
		}
	})
	t.Run("WhoseReasonIsTheOneThatIsNamed", func(t *testing.T) {
		s := openScript(t, func(data string) []string {
			if data == "0" {
				return []string{refused}
			}
			return nil
		})
		err := s.Publish(soon(t), "orders", messages(3))
		var api *jetstream.APIError
		if got := unsure(t, err); len(got) == 0 || !errors.As(err, &api) {
			t.Errorf("unsure about %v, %v, want the refusal, not the deadline that came later", got, err)
		}
	})
	t.Run("NorWithinIt", func(t *testing.T) {
		s := openScript(t, func(data string) []string {
			if data == "0" {
				return []string{refused}
			}
			return []string{taken}
		})
		ctx := &hooked{t.Context(), 0, func(asked int) {
			if asked == 5 {
				s.arrived(t, 5)
			}
		}}
		got := unsure(t, s.Publish(ctx, "orders", messages(20)))
		// It may be there earlier. At the latest the sixth is sent before it.
		got = slices.DeleteFunc(got, func(i int) bool { return 1 <= i && i <= 5 })
		if want := append([]int{0}, numbers(6, 20)...); !slices.Equal(got, want) {
			t.Errorf("unsure about %v, want %v: the refusal is there before the seventh is sent", got, want)
		}
	})
}

func TestAnAnswerCountsOnce(t *testing.T) {
	t.Run("WhenItComesTwice", func(t *testing.T) {
		s := openScript(t, func(data string) []string {
			if data == "0" {
				return []string{taken, taken}
			}
			return nil
		})
		if got := unsure(t, s.Publish(soon(t), "orders", messages(2))); !slices.Equal(got, []int{1}) {
			t.Errorf("unsure about %v, want 1, which nobody confirmed", got)
		}
	})
	t.Run("WhenItComesAgainInALaterCall", func(t *testing.T) {
		calls := 0
		var s *script
		s = openScript(t, func(data string) []string {
			if data == "0" {
				calls++
			}
			if calls == 1 {
				defer s.mu.Unlock()
				s.mu.Lock()
				s.replies["old"+data] = s.replies[data]
				return []string{taken}
			}
			s.reply("old"+data, taken)
			return nil
		})
		if err := s.Publish(t.Context(), "orders", messages(2)); err != nil {
			t.Fatal(err)
		}
		if got := unsure(t, s.Publish(soon(t), "orders", messages(2))); !slices.Equal(got, []int{0, 1}) {
			t.Errorf("unsure about %v, want both: the answers are to those of the call before", got)
		}
	})
}

func TestWhatIsConfirmedByTheEndIsSure(t *testing.T) {
	s := openScript(t, func(data string) []string {
		if data == "0" {
			return []string{taken}
		}
		return nil
	})
	for range 20 { // it may see the end first, or the answer
		end, cancel := context.WithCancel(t.Context())
		before := len(s.received(t))
		ctx := &hooked{end, 0, func(asked int) {
			if asked == 1 {
				s.arrived(t, before+1)
				cancel()
			}
		}}
		err := s.Publish(ctx, "orders", messages(2))
		if got := unsure(t, err); !slices.Equal(got, []int{1}) || !errors.Is(err, context.Canceled) {
			t.Fatalf("unsure about %v, %v, want 1 alone: 0 is confirmed", got, err)
		}
	}
}

func TestNothingIsSentOnceTheContextHasEnded(t *testing.T) {
	s := openScript(t, willing)
	if err := s.Declare(t.Context(), []string{"orders"}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, n := range []int{1, 2} {
		err := s.Publish(ctx, "orders", messages(n))
		if _, partly := errors.AsType[*driver.PublishError](err); partly && n > 1 || !errors.Is(err, context.Canceled) {
			t.Errorf("Publish of %d = %v, want the context's error: none is stored", n, err)
		}
	}
	if got := s.received(t); len(got) > 0 {
		t.Errorf("%v are sent, want nothing", got)
	}
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	err := s.Publish(&hooked{ctx, 0, func(asked int) {
		if asked == 2 {
			cancel()
		}
	}}, "orders", messages(10))
	if got := unsure(t, err); !slices.Contains(got, 3) || !slices.Contains(got, 9) {
		t.Errorf("unsure about %v, want all from 3 on", got)
	}
	if got := s.received(t); !slices.Equal(got, []string{"0", "1", "2"}) {
		t.Errorf("%v are sent, want those before the end", got)
	}
}

func TestAKeysMessagesWaitForOneAnother(t *testing.T) {
	s := openScript(t, silent)
	ms := messages(6)
	for i, key := range []string{"a", "b", "", "", "a", "c"} {
		ms[i].Key = key
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Publish(t.Context(), "orders", ms) }()
	s.arrived(t, 4)
	if got := s.received(t); !slices.Equal(got, []string{"0", "1", "2", "3"}) {
		t.Errorf("%v are sent, want those up to the second of a key", got)
	}
	s.reply("1", taken) // another key's
	if got := s.received(t); len(got) != 4 {
		t.Errorf("%v are sent, want the second of a key to wait for the first", got)
	}
	s.reply("0", taken)
	s.arrived(t, 6)
	for _, data := range []string{"2", "3", "4", "5"} {
		s.reply(data, taken)
	}
	if err := <-ended; err != nil {
		t.Errorf("Publish = %v, want nil", err)
	}
}

func TestOneThatIsTooLargeIsLeftOut(t *testing.T) {
	huge := func(ms []driver.Message, is ...int) []driver.Message {
		for _, i := range is {
			ms[i].Data = make([]byte, 2<<20)
		}
		return ms
	}
	var tooLarge *driver.TooLargeError
	t.Run("AndTheOthersAreStored", func(t *testing.T) {
		s := openScript(t, willing)
		err := s.Publish(t.Context(), "orders", huge(messages(4), 0, 2))
		if got := unsure(t, err); !slices.Equal(got, []int{0, 2}) || !errors.As(err, &tooLarge) {
			t.Errorf("unsure about %v, %v, want those that are too large", got, err)
		}
		if got := s.received(t); !slices.Equal(got, []string{"1", "3"}) {
			t.Errorf("%v are sent, want 1 and 3", got)
		}
	})
	t.Run("AndWhatAnotherTryMayMendGoesFirst", func(t *testing.T) {
		s := openScript(t, silent)
		err := s.Publish(soon(t), "orders", huge(messages(2), 0))
		if got := unsure(t, err); !slices.Equal(got, []int{0, 1}) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("unsure about %v, %v, want both, for what is worth another try", got, err)
		}
	})
	t.Run("NothingIsStored", func(t *testing.T) {
		s := openScript(t, willing)
		for n := range 2 {
			err := s.Publish(t.Context(), "orders", huge(messages(n+1), numbers(0, n+1)...))
			if _, partly := errors.AsType[*driver.PublishError](err); partly || !errors.As(err, &tooLarge) {
				t.Errorf("Publish of %d = %v, want a plain *driver.TooLargeError", n+1, err)
			}
		}
	})
}

func TestNobodyAnswersForTheStream(t *testing.T) {
	s := openScript(t, willing)
	if err := errors.Join(s.sub.Unsubscribe(), s.server.Flush()); err != nil {
		t.Fatal(err)
	}
	err := s.Publish(t.Context(), "orders", messages(3))
	if got := unsure(t, err); len(got) != 3 || !errors.Is(err, jetstream.ErrNoStreamResponse) {
		t.Errorf("unsure about %v, %v, want all: no stream answers", got, err)
	}
	err = s.Publish(t.Context(), "orders", messages(1))
	if _, partly := errors.AsType[*driver.PublishError](err); partly || !errors.Is(err, jetstream.ErrNoStreamResponse) {
		t.Errorf("Publish of one = %v, want that no stream answers: it is not stored", err)
	}
	// A single one is tried again: there is no order to lose.
	ended := make(chan error, 1)
	go func() { ended <- s.Publish(t.Context(), "orders", messages(1)) }()
	<-time.After(50 * time.Millisecond)
	if s.sub, err = s.server.Subscribe("orders", s.take); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("Publish = %v, want nil once a stream is there", err)
	}
}

func TestInboxesServeAgain(t *testing.T) {
	s := openScript(t, willing)
	before := s.conn.NumSubscriptions()
	for range 20 {
		if err := s.Publish(t.Context(), "orders", messages(3)); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.conn.NumSubscriptions() - before; got != 1 {
		t.Errorf("%d inboxes are open after 20 calls, want 1", got)
	}
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			if err := s.Publish(t.Context(), "orders", messages(3)); err != nil {
				t.Errorf("Publish: %v", err)
			}
		})
	}
	wg.Wait()
	if got := s.conn.NumSubscriptions() - before; got < 1 || got > 8 {
		t.Errorf("%d inboxes are open after 40 calls at a time, want 8 at most", got)
	}
	// What a call that gave up waits for no longer does not come to those that follow.
	open := s.conn.NumSubscriptions()
	s.mu.Lock()
	s.answer = silent
	s.mu.Unlock()
	unsure(t, s.Publish(soon(t), "orders", messages(3)))
	if got := s.conn.NumSubscriptions(); got != open-1 {
		t.Errorf("%d inboxes are open, want %d: that of a call that gave up is closed", got-before, open-1-before)
	}
	s.conn.Close()
	err := s.Publish(t.Context(), "orders", messages(3))
	if _, partly := errors.AsType[*driver.PublishError](err); partly || !errors.Is(err, nats.ErrConnectionClosed) {
		t.Errorf("Publish = %v on a closed connection, want its error: none is stored", err)
	}
}
