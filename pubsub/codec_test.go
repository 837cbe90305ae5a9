package pubsub_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/mempubsub"
	"github.com/mainstay-go/mainstay/resilience"
)

// handled publishes m on a topic with o and returns what its handler got, and the dead letters.
func handled[T any](t *testing.T, o *pubsub.TopicOptions[T], send func(*bench, *pubsub.Topic[T])) (
	events []T, ms []*pubsub.Message, letters []*pubsub.Message,
) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, &mempubsub.Broker{})
		topic := pubsub.NewTopic("orders", o)
		collected, stopLetters := b.collect(deadTopic)
		defer stopLetters()
		defer run(t, topic.Subscribe(b.client, "stock", func(ctx context.Context, e T) error {
			events, ms = append(events, e), append(ms, pubsub.MessageFrom(ctx))
			return nil
		}, &pubsub.SubscriptionOptions{Concurrency: 1}))()
		send(b, topic)
		pass(time.Hour)
		letters = collected()
	})
	return events, ms, letters
}

func publishEvent[T any](events ...T) func(*bench, *pubsub.Topic[T]) {
	return func(b *bench, topic *pubsub.Topic[T]) {
		for _, e := range events {
			if err := topic.Publish(b.t.Context(), b.client, e); err != nil {
				b.t.Error(err)
			}
		}
	}
}

func TestCodec(t *testing.T) {
	t.Run("RawPassesBytesOn", func(t *testing.T) {
		want := []byte("\x00any\xff")
		got, ms, _ := handled(t, &pubsub.TopicOptions[[]byte]{Codec: pubsub.Raw()}, publishEvent(want))
		if len(got) != 1 || !bytes.Equal(got[0], want) || !bytes.Equal(ms[0].Data, want) || ms[0].ContentType != "application/octet-stream" {
			t.Errorf("handled %q, want %q", got, want)
		}
	})
	t.Run("ProtobufRoundTrips", func(t *testing.T) {
		o := &pubsub.TopicOptions[*wrapperspb.StringValue]{Codec: pubsub.Protobuf[*wrapperspb.StringValue]()}
		got, ms, _ := handled(t, o, publishEvent(wrapperspb.String("hello"), wrapperspb.String("")))
		if len(got) != 2 || got[0].GetValue() != "hello" || got[1].GetValue() != "" || ms[0].ContentType != "application/protobuf" {
			t.Errorf("handled %v, want hello and an empty one", got)
		}
	})
	t.Run("ProtobufRefusesWhatIsNone", func(t *testing.T) {
		o := &pubsub.TopicOptions[*wrapperspb.StringValue]{Codec: pubsub.Protobuf[*wrapperspb.StringValue]()}
		_, _, letters := handled(t, o, func(b *bench, _ *pubsub.Topic[*wrapperspb.StringValue]) {
			b.publish("orders", &pubsub.Message{Data: []byte("\xff\xff\xff")})
		})
		if len(letters) != 1 || letters[0].DeadLetter.Class != "decode" || string(letters[0].Data) != "\xff\xff\xff" {
			t.Errorf("%d dead letters, want the bytes as they were", len(letters))
		}
		if _, err := pubsub.Protobuf[proto.Message]().Decode(nil); err == nil {
			t.Error("decoding into no message in particular = nil, want an error")
		}
	})
	t.Run("NeedsBothFunctions", func(t *testing.T) {
		var invalid *pubsub.InvalidError
		half := pubsub.NewTopic("orders", &pubsub.TopicOptions[int]{Codec: pubsub.Codec[int]{Decode: pubsub.JSON[int]().Decode}})
		if _, err := half.Message(1); !errors.As(err, &invalid) || !resilience.IsPermanent(err) {
			t.Errorf("Message without Encode: %v, want a permanent *InvalidError", err)
		}
		half = pubsub.NewTopic("orders", &pubsub.TopicOptions[int]{Codec: pubsub.Codec[int]{Encode: pubsub.JSON[int]().Encode}})
		if _, err := half.Decode(&pubsub.Message{}); !errors.As(err, &invalid) || !resilience.IsPermanent(err) {
			t.Errorf("Decode without Decode: %v, want a permanent *InvalidError", err)
		}
	})
}

func TestTopicOptions(t *testing.T) {
	t.Run("IDIsDerived", func(t *testing.T) {
		o := &pubsub.TopicOptions[order]{ID: func(o order) string { return strings.TrimPrefix(o.ID, "none") }}
		_, ms, _ := handled(t, o, publishEvent(order{ID: "o-1"}, order{ID: "o-1"}, order{ID: "none"}))
		if len(ms) != 3 || ms[0].ID != "o-1" || ms[1].ID != "o-1" || len(ms[2].ID) != 36 {
			t.Errorf("received %v, want o-1 twice and a new ID", ms)
		}
	})
	t.Run("SchemaTravels", func(t *testing.T) {
		const uri = "https://example.com/order/2"
		_, ms, _ := handled(t, &pubsub.TopicOptions[order]{Schema: uri}, publishEvent(order{}))
		if len(ms) != 1 || ms[0].Schema != uri || len(ms[0].Metadata) != 0 {
			t.Errorf("received %+v, want the schema %s", ms, uri)
		}
		b := newBench(t, &mempubsub.Broker{})
		var invalid *pubsub.InvalidError
		if err := b.client.Publish(t.Context(), "orders", &pubsub.Message{Schema: "a\nb"}); !errors.As(err, &invalid) || invalid.Field != "Schema" {
			t.Errorf("Publish with a hostile schema = %v, want an *InvalidError", err)
		}
	})
	t.Run("TombstoneIsAnEventWhereAskedFor", func(t *testing.T) {
		tombstone := func(b *bench, _ *pubsub.Topic[order]) { b.publish("orders", &pubsub.Message{Key: "o-1"}) }
		o := &pubsub.TopicOptions[order]{Tombstone: func(m *pubsub.Message) (order, error) { return order{ID: "deleted " + m.Key}, nil }}
		if got, _, _ := handled(t, o, tombstone); len(got) != 1 || got[0].ID != "deleted o-1" {
			t.Errorf("handled %v, want the event that the tombstone stands for", got)
		}
		if got, _, letters := handled(t, nil, tombstone); len(got) != 0 || len(letters) != 1 {
			t.Errorf("handled %v and %d dead letters, want JSON to refuse it", got, len(letters))
		}
		o.Tombstone = func(*pubsub.Message) (order, error) { return order{}, errors.New("no") }
		if _, _, letters := handled(t, o, tombstone); len(letters) != 1 || letters[0].DeadLetter.Attempts != 1 {
			t.Errorf("%d dead letters, want one at once", len(letters))
		}
	})
}
