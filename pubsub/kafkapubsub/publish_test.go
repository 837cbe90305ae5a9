package kafkapubsub_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/kafkapubsub"
)

func TestPublishNamesWhatIsTooLargeAndStoresTheOthers(t *testing.T) {
	_, seeds := startCluster(t, kfake.DefaultNumPartitions(1))
	b := kafkapubsub.New(newKafka(t, seeds, kgo.ProducerBatchMaxBytes(2000)), nil)
	s := open(t, b, driver.SubscribeOptions{Topic: "a", Name: "one"})
	large := driver.Message{Data: make([]byte, 3000)}
	const n = 700
	ms := make([]driver.Message, n)
	var want []string
	for i := range ms {
		ms[i] = driver.Message{Key: "k", Data: fmt.Append(nil, i)}
		if i == 1 || i == 600 {
			ms[i] = large
			continue
		}
		want = append(want, fmt.Sprint(i))
	}
	err := b.Publish(t.Context(), "a", ms)
	partly, ok := errors.AsType[*driver.PublishError](err)
	if !ok || !slices.Equal(partly.Indexes, []int{1, 600}) || !errors.As(err, new(*driver.TooLargeError)) {
		t.Errorf("Publish = %v, want a *PublishError of 1 and 600 that is a *TooLargeError", err)
	}
	var got []string
	for _, d := range receive(t, s, n-2) {
		got = append(got, string(d.Data))
	}
	if !slices.Equal(got, want) {
		t.Errorf("received %v, want all that is not too large, in order", got)
	}
	err = b.Publish(t.Context(), "a", []driver.Message{large, large})
	if errors.As(err, new(*driver.PublishError)) || !errors.As(err, new(*driver.TooLargeError)) {
		t.Errorf("Publish of what is too large alone = %v, want a *TooLargeError: nothing was sent", err)
	}
}

// What may be mended by another try is the reason, before what is not.
func TestPublishThatEndsEarlyNamesWhatIsNotKnown(t *testing.T) {
	fake, seeds := startCluster(t, kfake.DefaultNumPartitions(1))
	b := kafkapubsub.New(newKafka(t, seeds), nil)
	send(t, b, "a", "k", 1)
	awake := make(chan struct{})
	defer close(awake)
	asked := make(chan struct{}, 100)
	fake.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		asked <- struct{}{}
		<-awake
		return nil, nil, false
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	err := b.Publish(ctx, "a", []driver.Message{{Data: make([]byte, 2<<20)}, {Key: "k"}, {Key: "k"}})
	partly, ok := errors.AsType[*driver.PublishError](err)
	if !ok || !slices.Equal(partly.Indexes, []int{0, 1, 2}) || !errors.Is(err, context.Canceled) {
		t.Errorf("Publish = %v, want a *PublishError of 0, 1 and 2 because its context ended", err)
	}
	if err := b.Publish(ctx, "a", []driver.Message{{Key: "k"}}); errors.As(err, new(*driver.PublishError)) ||
		!errors.Is(err, context.Canceled) {
		t.Errorf("Publish with a context that has ended = %v, want that error: nothing was sent", err)
	}
}

// The memory of a call is that of the call before.
func TestCallsOfPublishDoNotMix(t *testing.T) {
	_, seeds := startCluster(t, kfake.DefaultNumPartitions(1))
	b := kafkapubsub.New(newKafka(t, seeds), nil)
	s := open(t, b, driver.SubscribeOptions{Topic: "a", Name: "one"})
	var want []driver.Message
	for call, size := range []int{3, 600, 1, 40, 300} {
		ms := make([]driver.Message, size)
		for i := range ms {
			for n := range (call + i) % 40 {
				name := fmt.Sprintf("a%d.%d", n, i%3)
				ms[i].Attributes = append(ms[i].Attributes, driver.Attribute{Name: name, Value: strings.Repeat("v", n)})
			}
			if i%2 == 0 {
				ms[i].Key = fmt.Sprint("key", i)
			}
			if i%5 > 0 {
				ms[i].Data = fmt.Append([]byte{}, call, i)
			}
		}
		if err := b.Publish(t.Context(), "a", ms); err != nil {
			t.Fatal(err)
		}
		want = append(want, ms...)
	}
	for i, d := range receive(t, s, len(want)) {
		w := want[i]
		if d.Key != w.Key || !slices.Equal(d.Attributes, w.Attributes) || string(d.Data) != string(w.Data) ||
			(d.Data == nil) != (w.Data == nil) {
			t.Fatalf("message %d is %q %q %q, want %q %q %q", i, d.Key, d.Attributes, d.Data, w.Key, w.Attributes, w.Data)
		}
		if p := fmt.Sprintf("a/0/%d", i); d.Position != p {
			t.Errorf("message %d is at %s, want %s", i, d.Position, p)
		}
		d.Attributes = append(d.Attributes, driver.Attribute{Name: "mine"}) // and nobody else's
	}
}
