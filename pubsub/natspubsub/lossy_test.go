package natspubsub_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/natspubsub"
)

func TestLossyPublisher(t *testing.T) {
	n := startServer(t)
	p := natspubsub.NewLossyPublisher(n.conn, &pubsub.Options{Source: "/mice", Registerer: prometheus.NewRegistry()})
	if _, ok := any(p).(pubsub.Publisher); ok {
		t.Error("it is a pubsub.Publisher: it may be passed where storing is promised")
	}
	t.Run("ReachesWhoListensWithTheEnvelope", func(t *testing.T) {
		msgs := make(chan *nats.Msg, 10)
		sub, err := n.conn.ChanSubscribe("cursor.moved", msgs)
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Unsubscribe()
		if err := p.Fire(t.Context(), "cursor.moved", &pubsub.Message{ID: "1", Key: "é", Data: []byte("here")}); err != nil {
			t.Fatal(err)
		}
		m := <-msgs
		if string(m.Data) != "here" || m.Header.Get("ce-id") != "1" || m.Header.Get("ce-source") != "/mice" ||
			m.Header.Get("ce-partitionkey") != "%C3%A9" {
			t.Errorf("got %q %v, want the data and the CloudEvents headers", m.Data, m.Header)
		}
	})
	t.Run("IsStoredWhereAStreamHoldsTheSubject", func(t *testing.T) {
		b := natspubsub.New(jetStream(t, n.conn), nil)
		s := open(t, b, "kept", "s", 10*patience)
		if err := p.Fire(t.Context(), "kept", &pubsub.Message{Data: []byte("here")}); err != nil {
			t.Fatal(err)
		}
		if got := receive(t, s, 1); !slices.Equal(got, []string{"here"}) {
			t.Errorf("received %v, want here", got)
		}
	})
	t.Run("NamesWhatIsTooLargeAndSendsTheOthers", func(t *testing.T) {
		msgs := make(chan *nats.Msg, 10)
		sub, err := n.conn.ChanSubscribe("sizes", msgs)
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Unsubscribe()
		large := bytes.Repeat([]byte("x"), int(n.conn.MaxPayload()))
		err = p.Fire(t.Context(), "sizes", &pubsub.Message{Data: large}, &pubsub.Message{Data: []byte("small")})
		tooLarge, ok := errors.AsType[*pubsub.TooLargeError](err)
		if !ok || tooLarge.Limit != len(large) {
			t.Errorf("Fire = %v, want a TooLargeError", err)
		}
		if partial, ok := errors.AsType[*pubsub.PublishError](err); !ok || !slices.Equal(partial.Indexes, []int{0}) {
			t.Errorf("Fire = %v, want a PublishError for index 0", err)
		}
		if m := <-msgs; string(m.Data) != "small" {
			t.Errorf("received %d bytes, want the small one", len(m.Data))
		}
	})
	t.Run("RefusesWhenItIsTooLate", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := p.Fire(ctx, "sizes", &pubsub.Message{}); !errors.Is(err, context.Canceled) {
			t.Errorf("Fire = %v under a context that ended, want its error", err)
		}
	})
	t.Run("KeepsNothingForLater", func(t *testing.T) {
		n.stop()
		until(t, "the client notices", func() bool { return !n.conn.IsConnected() })
		if err := p.Fire(t.Context(), "sizes", &pubsub.Message{}); !errors.Is(err, nats.ErrDisconnected) {
			t.Errorf("Fire = %v without a server, want ErrDisconnected", err)
		}
	})
}
