package kafkapubsub_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/kafkapubsub"
)

// declare makes a topic whose subscriptions, by brokers that create nothing, have no retry topic: then they have its
// partitions alone.
func declare(t *testing.T, cl *kgo.Client, partitions int) (topic string) {
	t.Helper()
	topic = newTopic()
	err := kafkapubsub.New(cl, &kafkapubsub.Options{Partitions: partitions}).Declare(t.Context(), []string{topic})
	if err != nil {
		t.Fatal(err)
	}
	return topic
}

// partitionsOf returns the partitions that ds are of.
func partitionsOf(ds []*driver.Delivery) []string {
	var all []string
	for _, d := range ds {
		all = append(all, strings.Split(d.Position, "/")[1])
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func TestPartitionsOfAClosedMemberAreTakenOverAtOnce(t *testing.T) {
	onEach(t, func(t *testing.T, c cluster) {
		cl := newKafka(t, c.seeds)
		topic := declare(t, cl, 1)
		// Nobody could wait for the session to end.
		b := kafkapubsub.New(cl, &kafkapubsub.Options{NoCreate: true, SessionTimeout: 5 * time.Minute})
		first := open(t, b, driver.SubscribeOptions{Topic: topic, Name: "one"})
		send(t, b, topic, "k", 3)
		held := receive(t, first, 3)
		second := open(t, b, driver.SubscribeOptions{Topic: topic, Name: "one"})
		if err := first.Ack(t.Context(), held[:1]); err != nil {
			t.Fatal(err)
		}
		if err := first.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := receive(t, second, 2)
		if string(got[0].Data) != "1" || string(got[1].Data) != "2" {
			t.Errorf("received %s and %s, want 1 and 2, which were not acknowledged", got[0].Data, got[1].Data)
		}
	})
}

func TestRestartWithinTheSessionKeepsPartitions(t *testing.T) {
	onEach(t, func(t *testing.T, c cluster) {
		topic := declare(t, newKafka(t, c.seeds), 2)
		var revoked atomic.Int32
		var joins joins
		member := func(id string, opts ...kgo.Opt) driver.Subscription {
			cl := newKafka(t, c.seeds, opts...)
			o := &kafkapubsub.Options{NoCreate: true, InstanceID: id, SessionTimeout: 5 * time.Minute}
			return open(t, kafkapubsub.New(cl, o), driver.SubscribeOptions{
				Topic: topic, Name: "one", Start: driver.Start{Earliest: true},
				Revoke: func([]*driver.Delivery) { revoked.Add(1) },
			})
		}
		leaving, staying := member("a"), member("b", kgo.WithHooks(&joins))
		balance(t, c, topic, leaving, staying)
		if err := leaving.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		revoked.Store(0)
		before := joins.Load()
		fill(t, c.seeds, topic, 5, asItIs)
		stayed := receive(t, staying, 5)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if ds, err := staying.Receive(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the one that stayed received %d more, %v, want nothing", len(ds), err)
		}
		back := receive(t, member("a"), 5)
		if p, q := partitionsOf(stayed), partitionsOf(back); len(p) != 1 || len(q) != 1 || p[0] == q[0] {
			t.Errorf("the one that stayed received of partitions %v, the one that came back of %v, want one each", p, q)
		}
		if n := revoked.Load(); n > 0 {
			t.Errorf("the one that stayed had to let go %d times, want never", n)
		}
		// kfake has everybody join once more, since who comes back owns nothing.
		if n := joins.Load() - before; n > 0 && c.fake == nil {
			t.Errorf("the one that stayed joined %d times more, want no rebalance", n)
		}
	})
}

// joins counts how often a client asks to join a group.
type joins struct{ atomic.Int32 }

func (j *joins) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, _ error) {
	if key == int16(kmsg.JoinGroup) {
		j.Add(1)
	}
}

// balance returns once each of two members has one of the two partitions, and nothing to do.
func balance(t *testing.T, c cluster, topic string, a, b driver.Subscription) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		fill(t, c.seeds, topic, 1, asItIs)
		var n [2]int
		for n[0]+n[1] < 2 {
			for i, s := range []driver.Subscription{a, b} {
				quick, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
				ds, _ := s.Receive(quick, 10)
				cancel()
				n[i] += len(ds)
				if err := s.Ack(ctx, ds); err != nil {
					t.Fatal(err)
				}
			}
			if ctx.Err() != nil {
				t.Fatalf("received %d and %d, want one each", n[0], n[1])
			}
		}
		if n[0] == 1 && n[1] == 1 {
			return
		}
	}
}

func TestGroupIsNamedByOptions(t *testing.T) {
	_, seeds := startCluster(t)
	cl := newKafka(t, seeds)
	b := kafkapubsub.New(cl, &kafkapubsub.Options{
		Group: func(topic, name string) string { return "team." + topic + "." + name },
	})
	s := open(t, b, driver.SubscribeOptions{Topic: "a", Name: "one"})
	send(t, b, "a", "k", 3)
	if err := s.Ack(t.Context(), receive(t, s, 3)); err != nil {
		t.Fatal(err)
	}
	sum := func() (n int64) {
		for _, at := range committed(t, cl, "team.a.one", "a") {
			n += at
		}
		return n
	}
	if got := sum(); got != 3 {
		t.Errorf("the group has committed %d, want 3", got)
	}
	if lag, err := s.(driver.Lagger).Lag(t.Context()); err != nil || lag.Messages != 0 {
		t.Errorf("Lag = %+v, %v, want 0", lag, err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.Seek(t.Context(), "a", "one", driver.Start{Earliest: true}); err != nil {
		t.Fatal(err)
	}
	if got := sum(); got != 0 {
		t.Errorf("the group has committed %d after Seek, want 0", got)
	}
}

func TestPartitionsThatAreAddedAreConsumed(t *testing.T) {
	onEach(t, func(t *testing.T, c cluster) {
		cl := newKafka(t, c.seeds, kgo.MetadataMaxAge(500*time.Millisecond))
		topic := declare(t, cl, 1)
		b := kafkapubsub.New(cl, nil)
		s := open(t, b, driver.SubscribeOptions{Topic: topic, Name: "one"})
		send(t, b, topic, "k", 1)
		if err := s.Ack(t.Context(), receive(t, s, 1)); err != nil {
			t.Fatal(err)
		}
		rs, err := kadm.NewClient(cl).UpdatePartitions(t.Context(), 2, topic)
		if err != nil || rs[topic].Err != nil {
			t.Fatal(err, rs[topic].Err)
		}
		fill(t, c.seeds, topic, 2, asItIs)
		var got []string
		for _, d := range receive(t, s, 4) {
			got = append(got, d.Position)
		}
		slices.Sort(got)
		want := []string{"/0/1", "/0/2", "/1/0", "/1/1"}
		for i := range want {
			want[i] = topic + want[i]
		}
		if !slices.Equal(got, want) {
			t.Errorf("received %v, want %v", got, want)
		}
	})
}

// The group has no offset for a partition that is new, and takes none from outside while it has members.
func TestMemberJoinsThoughAPartitionIsNew(t *testing.T) {
	onEach(t, func(t *testing.T, c cluster) {
		cl := newKafka(t, c.seeds)
		topic := declare(t, cl, 1)
		b := kafkapubsub.New(cl, &kafkapubsub.Options{NoCreate: true})
		first := open(t, b, driver.SubscribeOptions{Topic: topic, Name: "one"})
		send(t, b, topic, "k", 1)
		if err := first.Ack(t.Context(), receive(t, first, 1)); err != nil { // it is a member by now
			t.Fatal(err)
		}
		rs, err := kadm.NewClient(cl).UpdatePartitions(t.Context(), 2, topic)
		if err != nil || rs[topic].Err != nil {
			t.Fatal(err, rs[topic].Err)
		}
		open(t, b, driver.SubscribeOptions{Topic: topic, Name: "one"})
	})
}

// A fetch that waits at the broker for one topic is in the way of the other, which is assigned a moment later.
func TestFirstMessageWaitsForNoFetch(t *testing.T) {
	onEach(t, func(t *testing.T, c cluster) {
		cl := newKafka(t, c.seeds, kgo.FetchMaxWait(10*time.Minute))
		b := kafkapubsub.New(cl, nil)
		for i := range 3 {
			topic := newTopic()
			s := open(t, b, driver.SubscribeOptions{Topic: topic, Name: "one"})
			if i == 0 {
				if got := committed(t, cl, "one@"+topic, topic+".retry.one"); len(got) == 0 {
					t.Error("the group has no offset in its retry topic")
				}
			}
			send(t, b, topic, "k", 1)
			receive(t, s, 1)
			if err := b.Redeliver(t.Context(), topic, "one", []driver.Message{{ID: "1"}}, 0); err != nil {
				t.Fatal(err)
			}
			receive(t, s, 1)
		}
	})
}

func TestNotesOfWhatWasRemovedAreBounded(t *testing.T) {
	onEach(t, func(t *testing.T, c cluster) {
		if c.fake != nil {
			c.fake.ControlKey(int16(kmsg.OffsetCommit), func(r kmsg.Request) (kmsg.Response, error, bool) {
				c.fake.KeepControl()
				return refuseNotes(r.(*kmsg.OffsetCommitRequest))
			})
		}
		b := kafkapubsub.New(newKafka(t, c.seeds), &kafkapubsub.Options{Partitions: 1})
		topic := newTopic()
		const n = 5000
		ms := make([]driver.Message, n)
		for i := range ms {
			ms[i] = driver.Message{ID: fmt.Sprint(i), Data: []byte{}}
		}
		if err := b.Publish(t.Context(), topic, ms); err != nil {
			t.Fatal(err)
		}
		all, _, err := b.Browse(t.Context(), topic, "", n)
		if err != nil || len(all) != n {
			t.Fatalf("Browse = %d, %v, want %d", len(all), err, n)
		}
		var odd []*driver.Delivery
		for i := 1; i < n; i += 2 {
			odd = append(odd, all[i])
		}
		refused(t, b.Remove(t.Context(), topic, odd), "too many letters", "the oldest first")
		if left, _, err := b.Browse(t.Context(), topic, "", n); err != nil || len(left) != n {
			t.Errorf("Browse after Remove was refused = %d, %v, want %d", len(left), err, n)
		}
		if err := b.Remove(t.Context(), topic, all[:n/2]); err != nil {
			t.Errorf("Remove of the oldest = %v, want nil", err)
		}
		if err := b.Remove(t.Context(), topic, odd); err != nil {
			t.Errorf("Remove of what is left of the others = %v, want nil", err)
		}
		if left, _, err := b.Browse(t.Context(), topic, "", n); err != nil || len(left) != n/4 {
			t.Errorf("Browse at last = %d, %v, want %d", len(left), err, n/4)
		}
	})
}

// refuseNotes is what a broker does with metadata of more than 4096 bytes, its default, and kfake does not.
func refuseNotes(r *kmsg.OffsetCommitRequest) (kmsg.Response, error, bool) {
	const metadataTooLarge, most = 12, 4096
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			if p.Metadata != nil && len(*p.Metadata) > most {
				return refuseCommit(r, metadataTooLarge), nil, true
			}
		}
	}
	return nil, nil, false
}
