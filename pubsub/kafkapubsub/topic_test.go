package kafkapubsub_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/kafkapubsub"
	"github.com/mainstay-go/mainstay/resilience"
)

// refused checks that err is permanent and says all of words.
func refused(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil || !resilience.IsPermanent(err) {
		t.Errorf("got %v, want a permanent error", err)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("got %q, want it to say %q", err, w)
		}
	}
}

func TestClientThatCouldLoseOrReorderIsRefused(t *testing.T) {
	_, seeds := startCluster(t)
	for name, opts := range map[string][]kgo.Opt{
		"DisableIdempotentWrite": {kgo.DisableIdempotentWrite()},
		"RequiredAcks":           {kgo.DisableIdempotentWrite(), kgo.RequiredAcks(kgo.LeaderAck())},
		"ConsumerGroup":          {kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t")},
	} {
		t.Run(name, func(t *testing.T) {
			cl := newKafka(t, seeds, opts...)
			refused(t, kafkapubsub.New(cl, nil).Declare(t.Context(), []string{"t"}), "kgo.")
		})
	}
	b := kafkapubsub.New(newKafka(t, seeds), &kafkapubsub.Options{Partitions: -1})
	refused(t, b.Ping(t.Context()), "option Partitions")
}

func TestMismatchOfATopicIsNamedAndNothingChanged(t *testing.T) {
	_, seeds := startCluster(t)
	cl := newKafka(t, seeds)
	if err := kafkapubsub.New(cl, &kafkapubsub.Options{Partitions: 3}).Declare(t.Context(), []string{"a"}); err != nil {
		t.Fatal(err)
	}
	err := kafkapubsub.New(cl, &kafkapubsub.Options{Partitions: 5}).Declare(t.Context(), []string{"a"})
	refused(t, err, `"a"`, "3 partitions, want 5")
	err = kafkapubsub.New(cl, &kafkapubsub.Options{ReplicationFactor: 7}).Declare(t.Context(), []string{"a"})
	refused(t, err, "replication factor 1, want 7")
	if err := kafkapubsub.New(cl, nil).Declare(t.Context(), []string{"a"}); err != nil {
		t.Errorf("Declare without wishes = %v, want nil", err)
	}
	details, err := kadm.NewClient(cl).ListTopics(t.Context(), "a")
	if got := len(details["a"].Partitions); err != nil || got != 3 {
		t.Errorf("%d partitions, %v, want 3", got, err)
	}
}

func TestNoCreateMakesAMissingTopicAnError(t *testing.T) {
	_, seeds := startCluster(t)
	b := kafkapubsub.New(newKafka(t, seeds), &kafkapubsub.Options{NoCreate: true})
	refused(t, b.Declare(t.Context(), []string{"a"}), `"a"`, "is missing")
	refused(t, b.Publish(t.Context(), "a", []driver.Message{{ID: "1"}}), "is missing")
}

func TestSizeIsTheClients(t *testing.T) {
	_, seeds := startCluster(t)
	const limit = 10_000
	cl := newKafka(t, seeds, kgo.ProducerBatchMaxBytes(limit))
	b := kafkapubsub.New(cl, nil)
	m := driver.Message{Key: "k", Attributes: driver.AttributesOf(map[string]string{"ce-id": "1", "user": "Größe"})}
	m.Data = make([]byte, limit)
	err := b.Publish(t.Context(), "a", []driver.Message{m})
	tooLarge, ok := errors.AsType[*driver.TooLargeError](err)
	if !ok || tooLarge.Limit != limit {
		t.Fatalf("Publish = %v, want a *TooLargeError of %d", err, limit)
	}
	m.Data = m.Data[:limit-(tooLarge.Bytes-tooLarge.Limit)]
	if err := b.Publish(t.Context(), "a", []driver.Message{m}); err != nil {
		t.Errorf("Publish of exactly the limit = %v, want nil", err)
	}
	// And the client agrees: a few bytes more, by how it encodes a length, are too large for it, too.
	err = cl.ProduceSync(t.Context(), &kgo.Record{
		Topic: "a", Key: []byte("k"), Value: append(m.Data, 0, 0, 0, 0),
		Headers: []kgo.RecordHeader{{Key: "ce_id", Value: []byte("1")}, {Key: "user", Value: []byte("Größe")}},
	}).FirstErr()
	if err == nil {
		t.Error("the client takes more than the adapter")
	}
}

func TestTopicThatTakesLessThanTheClientSendsIsRefused(t *testing.T) {
	_, seeds := startCluster(t)
	cl := newKafka(t, seeds)
	limit := "5000"
	_, err := kadm.NewClient(cl).CreateTopic(t.Context(), 1, 1, map[string]*string{"max.message.bytes": &limit}, "small")
	if err != nil {
		t.Fatal(err)
	}
	err = kafkapubsub.New(cl, nil).Publish(t.Context(), "small", []driver.Message{{ID: "1"}})
	refused(t, err, "5000", "kgo.ProducerBatchMaxBytesFn")
}

func TestTombstoneIsNilAndAnEmptyValueIsNot(t *testing.T) {
	_, seeds := startCluster(t)
	b := kafkapubsub.New(newKafka(t, seeds), nil)
	s := open(t, b, driver.SubscribeOptions{Topic: "a", Name: "one"})
	err := b.Publish(t.Context(), "a", []driver.Message{{ID: "1", Key: "k"}, {ID: "2", Key: "k", Data: []byte{}}})
	if err != nil {
		t.Fatal(err)
	}
	ds := receive(t, s, 2)
	if ds[0].Data != nil || ds[1].Data == nil || len(ds[1].Data) > 0 {
		t.Errorf("received %#v and %#v, want nil and an empty slice", ds[0].Data, ds[1].Data)
	}
}

func TestRetryTopicThatCannotBeSeenIsNotTakenForMissing(t *testing.T) {
	fake, seeds := startCluster(t)
	cl := newKafka(t, seeds)
	if err := kafkapubsub.New(cl, nil).Declare(t.Context(), []string{"a", "a.retry.one"}); err != nil {
		t.Fatal(err)
	}
	fake.ControlKey(int16(kmsg.Metadata), func(r kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		asked := r.(*kmsg.MetadataRequest).Topics
		if len(asked) != 1 || asked[0].Topic == nil || *asked[0].Topic != "a.retry.one" {
			return nil, nil, false
		}
		res := r.ResponseKind().(*kmsg.MetadataResponse)
		rt := kmsg.NewMetadataResponseTopic()
		rt.Topic, rt.ErrorCode = asked[0].Topic, 29 // TOPIC_AUTHORIZATION_FAILED
		res.Topics = append(res.Topics, rt)
		return res, nil, true
	})
	b := kafkapubsub.New(cl, &kafkapubsub.Options{NoCreate: true})
	s, err := b.Subscribe(t.Context(), driver.SubscribeOptions{
		Topic: "a", Name: "one", Lease: time.Minute, MaxInFlight: 1, Revoke: func([]*driver.Delivery) {},
	})
	if !errors.Is(err, kerr.TopicAuthorizationFailed) {
		t.Errorf("Subscribe = %v, want what the broker says", err)
	}
	if err == nil {
		_ = s.Close(context.Background())
	}
}

func TestTopicThatWasDeletedIsMadeAgain(t *testing.T) {
	onEach(t, func(t *testing.T, c cluster) {
		cl := newKafka(t, c.seeds, kgo.UnknownTopicRetries(1))
		b, topic := kafkapubsub.New(cl, nil), newTopic()
		send(t, b, topic, "k", 1)
		rs, err := kadm.NewClient(cl).DeleteTopics(t.Context(), topic)
		if err != nil || rs[topic].Err != nil {
			t.Fatal(err, rs[topic].Err)
		}
		for end := time.Now().Add(patience); ; {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			err := b.Publish(ctx, topic, []driver.Message{{ID: "1"}})
			cancel()
			if err == nil {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("Publish = %v, still", err)
			}
		}
	})
}

func TestLimitThatWasLoweredIsSeenAfterTheFirstRefusal(t *testing.T) {
	onEach(t, func(t *testing.T, c cluster) {
		cl := newKafka(t, c.seeds, kgo.ProducerBatchCompression(kgo.NoCompression()))
		b, topic := kafkapubsub.New(cl, nil), newTopic()
		send(t, b, topic, "k", 1)
		limit := "1000"
		_, err := kadm.NewClient(cl).AlterTopicConfigs(t.Context(), []kadm.AlterConfig{
			{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &limit},
		}, topic)
		if err != nil {
			t.Fatal(err)
		}
		large := []driver.Message{{ID: "1", Data: make([]byte, 5000)}}
		if err := b.Publish(t.Context(), topic, large); !errors.Is(err, kerr.MessageTooLarge) {
			t.Errorf("Publish = %v, want what the broker says", err)
		}
		refused(t, b.Publish(t.Context(), topic, large), "1000", "max.message.bytes")
	})
}
