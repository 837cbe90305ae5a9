package pubsubtest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/mempubsub"
	"github.com/mainstay-go/mainstay/pubsub/pubsubtest"
)

// TestFaultlessKeepsTheContract: in front of a broker, a Faulty that injects nothing is not noticed.
func TestFaultlessKeepsTheContract(t *testing.T) {
	pubsubtest.Run(t, pubsubtest.Harness{
		Adapter: "faultless", InProcess: true, Abilities: all,
		Broker: func(testing.TB) driver.Broker {
			return pubsubtest.NewFaulty(&mempubsub.Broker{}, pubsubtest.FaultOptions{})
		},
	})
}

func TestFaultyPassesOnWhatIsMissing(t *testing.T) {
	f := pubsubtest.NewFaulty(plain{&mempubsub.Broker{}}, pubsubtest.FaultOptions{})
	_, _, browsed := f.Browse(t.Context(), "t", "", 1)
	_, lagged := open(t, f).(driver.Lagger).Lag(t.Context())
	for call, err := range map[pubsubtest.Call]error{
		pubsubtest.CallRedeliver: f.Redeliver(t.Context(), "t", "s", nil, 0),
		pubsubtest.CallBrowse:    browsed,
		pubsubtest.CallRemove:    f.Remove(t.Context(), "t", nil),
		pubsubtest.CallSeek:      f.Seek(t.Context(), "t", "s", driver.Start{}),
		pubsubtest.CallLag:       lagged,
	} {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s = %v, want ErrUnsupported", call, err)
		}
	}
}

func TestFailCalls(t *testing.T) {
	f := pubsubtest.NewFaulty(&mempubsub.Broker{}, pubsubtest.FaultOptions{FailCalls: map[pubsubtest.Call][]int{
		pubsubtest.CallPublish: {2, 4}, pubsubtest.CallSubscribe: {1}, pubsubtest.CallPing: {0, -1},
	}})
	var got []bool
	for range 5 {
		err := f.Publish(t.Context(), "t", []driver.Message{{ID: "1"}})
		got = append(got, errors.Is(err, pubsubtest.ErrInjected))
	}
	if want := []bool{false, true, false, true, false}; !slices.Equal(got, want) {
		t.Errorf("publishes failed: %v, want %v", got, want)
	}
	o := driver.SubscribeOptions{Topic: "t", Name: "s", Lease: time.Minute, MaxInFlight: 1}
	if _, err := f.Subscribe(t.Context(), o); !errors.Is(err, pubsubtest.ErrInjected) {
		t.Errorf("the first Subscribe = %v, want it to fail", err)
	}
	if err := f.Ping(t.Context()); err != nil {
		t.Errorf("Ping = %v, want nil", err)
	}
	if got := f.Faults().FailedCalls; got != 3 {
		t.Errorf("%d calls failed, want 3", got)
	}
}

func TestReorderKeepsEachKeysOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := pubsubtest.NewFaulty(&mempubsub.Broker{}, pubsubtest.FaultOptions{Seed: 1, ReorderRatio: 1})
		s := open(t, f)
		var sent []string
		for i := range 40 {
			id, key := fmt.Sprintf("%02d", i), fmt.Sprint(i%4)
			m := driver.Message{ID: id, Key: key, Data: []byte(id), Attributes: driver.AttributesOf(map[string]string{"ce-partitionkey": key})}
			if i%4 == 0 {
				m.Key, m.Attributes = "", nil
			}
			sent = append(sent, id)
			if err := f.Publish(t.Context(), "t", []driver.Message{m}); err != nil {
				t.Fatal(err)
			}
		}
		ds, err := s.Receive(t.Context(), 40)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		last := map[string]string{}
		for _, d := range ds {
			id := string(d.Data)
			if d.Key != "" && id < last[d.Key] {
				t.Errorf("%s came after %s of its key", id, last[d.Key])
			}
			last[d.Key] = id
			got = append(got, id)
		}
		if slices.Equal(got, sent) {
			t.Error("the order is that of publishing, want another")
		}
		if slices.Sort(got); !slices.Equal(got, sent) || f.Faults().Reordered != 1 {
			t.Errorf("received %v with %+v, want each once and one call counted", got, f.Faults())
		}
	})
}

func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct{ delay, want time.Duration }{
			{0, 100 * time.Millisecond}, {time.Minute, time.Minute}, {-1, 0},
		} {
			f := pubsubtest.NewFaulty(&mempubsub.Broker{}, pubsubtest.FaultOptions{DelayRatio: 1, Delay: test.delay})
			began := time.Now()
			if err := f.Ping(t.Context()); err != nil || time.Since(began) != test.want {
				t.Errorf("delay %v: Ping = %v after %v, want nil after %v", test.delay, err, time.Since(began), test.want)
			}
		}
		f := pubsubtest.NewFaulty(&mempubsub.Broker{}, pubsubtest.FaultOptions{DelayRatio: 1, Delay: time.Hour})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		err := f.Publish(ctx, "t", []driver.Message{{}})
		if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took != time.Second {
			t.Errorf("Publish = %v after %v, want it to end with its context", err, took)
		}
	})
}

func TestDisconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := pubsubtest.NewFaulty(&mempubsub.Broker{}, pubsubtest.FaultOptions{})
		s := open(t, f)
		received := make(chan error, 1)
		go func() {
			_, err := s.Receive(t.Context(), 1)
			received <- err
		}()
		synctest.Wait()
		reconnect := f.Disconnect()
		if err := <-received; !errors.Is(err, pubsubtest.ErrInjected) {
			t.Errorf("the Receive under way = %v, want ErrInjected", err)
		}
		_, received2 := s.Receive(t.Context(), 1)
		for what, err := range map[string]error{
			"Publish": f.Publish(t.Context(), "t", []driver.Message{{}}), "Ping": f.Ping(t.Context()), "Receive": received2,
			"Ack": s.Ack(t.Context(), nil), "Release": s.Release(t.Context(), nil, 0), "Extend": s.Extend(t.Context(), nil),
		} {
			if !errors.Is(err, pubsubtest.ErrInjected) {
				t.Errorf("%s = %v, want ErrInjected", what, err)
			}
		}
		reconnect()
		publishAll(t, f, 1)
		if got := drain(t, s); got["0"] != 1 {
			t.Errorf("received %v after the outage, want the message", got)
		}
		if got := f.Faults().Refused; got != 6 {
			t.Errorf("%d calls were refused, want 6", got)
		}
	})
}

// TestCrashAtAck: the handler ran, its process ended before the acknowledgement, and the next one handles the message
// again at once: what an inbox is for.
func TestCrashAtAck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := pubsubtest.NewFaulty(&mempubsub.Broker{}, pubsubtest.FaultOptions{CrashAtAck: 1})
		client := pubsub.NewClient(f, &pubsub.Options{
			Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		})
		var handled atomic.Int32
		consume := func() (*pubsub.Subscription, <-chan error, context.CancelFunc) {
			s := client.Subscribe("t", "s", func(_ context.Context, m *pubsub.Message) error {
				handled.Add(1)
				return nil
			}, &pubsub.SubscriptionOptions{Lease: time.Hour})
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- s.Run(ctx) }()
			<-s.Ready()
			return s, ended, cancel
		}
		_, crashed, cancel := consume()
		defer cancel()
		if err := client.Publish(t.Context(), "t", &pubsub.Message{ID: "1"}); err != nil {
			t.Fatal(err)
		}
		if err := <-crashed; !errors.Is(err, driver.ErrClosed) {
			t.Errorf("Run = %v, want the crash", err)
		}
		began := time.Now()
		_, ended, stop := consume()
		synctest.Wait()
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
		if n := handled.Load(); n != 2 || time.Since(began) > time.Minute || f.Faults().Crashes != 1 {
			t.Errorf("handled %d times within %v, %+v, want twice at once and one crash", n, time.Since(began), f.Faults())
		}
	})
}
