package pubsubtest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/pubsubtest"
)

type placed struct {
	OrderID string `json:"order_id"`
}

func orders() *pubsub.Topic[placed] {
	return pubsub.NewTopic("order.placed", &pubsub.TopicOptions[placed]{Key: func(e placed) string { return e.OrderID }})
}

// Code that publishes takes a pubsub.Publisher; its unit test gives it a Recorder.
func ExampleRecorder() {
	placeOrder := func(ctx context.Context, p pubsub.Publisher, id string) error {
		return orders().Publish(ctx, p, placed{OrderID: id})
	}
	var recorder pubsubtest.Recorder
	fmt.Println(placeOrder(context.Background(), &recorder, "o-1"))
	events, err := pubsubtest.Events(&recorder, orders())
	fmt.Println(events, err, "key", recorder.Messages("order.placed")[0].Key)

	recorder.FailWith(func(int, string, []*pubsub.Message) error { return errors.New("broker is away") })
	fmt.Println(placeOrder(context.Background(), &recorder, "o-2"))
	// Output:
	// <nil>
	// [{o-1}] <nil> key o-1
	// pubsubtest: publish "order.placed": broker is away
}

func TestRecorder(t *testing.T) {
	message := func(id string) *pubsub.Message { return &pubsub.Message{ID: id, Data: []byte(id)} }
	ids := func(r *pubsubtest.Recorder, topic string) string {
		s := ""
		for _, m := range r.Messages(topic) {
			s += m.ID
		}
		return s
	}
	t.Run("RecordsPerTopicWhatAClientWouldHaveSent", func(t *testing.T) {
		var r pubsubtest.Recorder
		m := message("1")
		for topic, m := range map[string]*pubsub.Message{"a": m, "b": message("2")} {
			if err := r.Publish(t.Context(), topic, m); err != nil {
				t.Fatal(err)
			}
		}
		m.Data[0] = 'X'
		got := r.Messages("a")
		if len(got) != 1 || string(got[0].Data) != "1" || got[0].Type != "a" || got[0].CorrelationID == "" ||
			got[0].Time.IsZero() {
			t.Errorf("recorded %+v, want the message as it was, with its defaults", got)
		}
		if ids(&r, "b") != "2" || len(r.Messages("c")) != 0 {
			t.Errorf("b has %q and c %q, want 2 and nothing", ids(&r, "b"), ids(&r, "c"))
		}
	})
	t.Run("RefusesWhatAClientRefuses", func(t *testing.T) {
		var r pubsubtest.Recorder
		err := r.Publish(t.Context(), "a", message("1"), &pubsub.Message{Metadata: map[string]string{"ce-id": "x"}})
		var invalid *pubsub.InvalidError
		if !errors.As(err, &invalid) || len(r.Messages("a")) != 0 {
			t.Errorf("Publish = %v with %q recorded, want an *InvalidError and nothing", err, ids(&r, "a"))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := r.Publish(ctx, "a", message("1")); !errors.Is(err, context.Canceled) || len(r.Messages("a")) != 0 {
			t.Errorf("Publish with an ended context = %v with %q recorded, want its error and nothing", err, ids(&r, "a"))
		}
	})
	t.Run("FailsAsItIsTold", func(t *testing.T) {
		var r pubsubtest.Recorder
		r.FailWith(func(call int, topic string, ms []*pubsub.Message) error {
			switch {
			case topic != "a":
				return nil
			case call == 1:
				return errors.New("away")
			case call == 2:
				return &pubsub.PublishError{Indexes: []int{1}, Err: errors.New("half")}
			}
			return nil
		})
		for i, want := range []string{"", "13", "13123"} {
			err := r.Publish(t.Context(), "a", message("1"), message("2"), message("3"))
			if (err != nil) != (i < 2) || ids(&r, "a") != want {
				t.Errorf("publish %d = %v with %q recorded, want %q", i+1, err, ids(&r, "a"), want)
			}
		}
		r.FailWith(nil)
		if err := r.Publish(t.Context(), "a", message("4")); err != nil {
			t.Errorf("Publish = %v once nothing fails, want nil", err)
		}
	})
	t.Run("SaysWhichMessageIsOfAnotherType", func(t *testing.T) {
		var r pubsubtest.Recorder
		if err := orders().Publish(t.Context(), &r, placed{"1"}); err != nil {
			t.Fatal(err)
		}
		if err := r.Publish(t.Context(), "order.placed", message("no JSON")); err != nil {
			t.Fatal(err)
		}
		events, err := pubsubtest.Events(&r, orders())
		var decode *pubsub.DecodeError
		if len(events) != 1 || !errors.As(err, &decode) {
			t.Errorf("Events = %v, %v, want the first and a *DecodeError", events, err)
		}
	})
	t.Run("TakesManyAtOnce", func(t *testing.T) {
		var r pubsubtest.Recorder
		ended := make(chan error)
		for range 8 {
			go func() { ended <- r.Publish(t.Context(), "a", message("x")) }()
		}
		for range 8 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		if got := len(r.Messages("a")); got != 8 {
			t.Errorf("%d are recorded, want 8", got)
		}
	})
}
