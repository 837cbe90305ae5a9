package kafkapubsub_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/kafkapubsub"
)

// stays checks for a second that a group's offset in partition 0 does not move.
func stays(t *testing.T, cl *kgo.Client, group, topic string, want int64) {
	t.Helper()
	for end := time.Now().Add(time.Second); time.Now().Before(end); <-time.After(50 * time.Millisecond) {
		if got := committed(t, cl, group, topic)[0]; got != want {
			t.Fatalf("committed %d, want %d", got, want)
		}
	}
}

func TestNothingIsCommittedThatIsNotDone(t *testing.T) {
	_, seeds := startCluster(t, kfake.DefaultNumPartitions(1))
	cl := newKafka(t, seeds, kgo.AutoCommitInterval(100*time.Millisecond))
	b := kafkapubsub.New(cl, nil)
	s := open(t, b, driver.SubscribeOptions{Topic: "a", Name: "one"})
	var ds []*driver.Delivery
	for range 2 { // a client that commits by itself commits what was polled before
		send(t, b, "a", "k", 2)
		ds = append(ds, receive(t, s, 2)...)
	}
	stays(t, cl, "one@a", "a", 0)
	if err := s.Ack(t.Context(), ds[1:]); err != nil {
		t.Fatal(err)
	}
	stays(t, cl, "one@a", "a", 0)
	if err := s.Ack(t.Context(), ds[:1]); err != nil {
		t.Fatal(err)
	}
	if got := committed(t, cl, "one@a", "a")[0]; got != 4 {
		t.Errorf("committed %d once the first is done, want 4", got)
	}
}

// The group takes the member for dead, so its partition is somebody else's already: here its own, once more.
func TestLostPartitionIsNotWaitedFor(t *testing.T) {
	fake, seeds := startCluster(t, kfake.DefaultNumPartitions(1))
	cl := newKafka(t, seeds)
	b := kafkapubsub.New(cl, &kafkapubsub.Options{RevokeTimeout: time.Hour})
	called := make(chan int, 10)
	s := open(t, b, driver.SubscribeOptions{
		Topic: "a", Name: "one", Revoke: func(ds []*driver.Delivery) { called <- len(ds) },
	})
	send(t, b, "a", "k", 3)
	held := receive(t, s, 2) // and one is here, not received
	forget(fake)
	select {
	case n := <-called:
		if n != 2 {
			t.Errorf("%d were called back, want the 2 that were held", n)
		}
	case <-time.After(patience):
		t.Fatal("nothing was called back")
	}
	again := receive(t, s, 3)
	if err := s.Ack(t.Context(), held); err != nil {
		t.Errorf("Ack of what was lost = %v, want nil", err)
	}
	if err := s.Release(t.Context(), held, 0); err != nil {
		t.Errorf("Release of what was lost = %v, want nil", err)
	}
	stays(t, cl, "one@a", "a", 0)
	if err := s.Ack(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	if got := committed(t, cl, "one@a", "a")[0]; got != 3 {
		t.Errorf("committed %d, want 3", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if ds, err := s.Receive(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Receive = %d, %v, want nothing more", len(ds), err)
	}
}

// forget makes a group take its member for dead.
func forget(fake *kfake.Cluster) {
	fake.ControlKey(int16(kmsg.Heartbeat), func(r kmsg.Request) (kmsg.Response, error, bool) {
		res := r.ResponseKind().(*kmsg.HeartbeatResponse)
		res.ErrorCode = 25 // UNKNOWN_MEMBER_ID
		return res, nil, true
	})
}

func TestPartitionThatComesBackIsNotPaused(t *testing.T) {
	fake, seeds := startCluster(t, kfake.DefaultNumPartitions(1))
	b := kafkapubsub.New(newKafka(t, seeds), &kafkapubsub.Options{MaxUncommitted: 2})
	called := make(chan struct{}, 10)
	s := open(t, b, driver.SubscribeOptions{
		Topic: "a", Name: "one", Revoke: func([]*driver.Delivery) { called <- struct{}{} },
	})
	send(t, b, "a", "k", 5)
	receive(t, s, 2)
	forget(fake)
	<-called
	for range 5 {
		if err := s.Ack(t.Context(), receive(t, s, 1)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWhatIsPastItsRetentionIsSkippedAndNoMore(t *testing.T) {
	onEach(t, func(t *testing.T, c cluster) {
		cl := newKafka(t, c.seeds)
		topic := declare(t, cl, 1)
		b := kafkapubsub.New(cl, nil)
		s := open(t, b, driver.SubscribeOptions{Topic: topic, Name: "one"})
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		send(t, b, topic, "k", 5)
		gone := make(kadm.Offsets)
		gone.Add(kadm.Offset{Topic: topic, At: 3})
		if rs, err := kadm.NewClient(cl).DeleteRecords(t.Context(), gone); err != nil || rs.Error() != nil {
			t.Fatal(err, rs.Error())
		}
		for i, d := range receive(t, open(t, b, driver.SubscribeOptions{Topic: topic, Name: "one"}), 2) {
			if want := []string{"3", "4"}[i]; string(d.Data) != want {
				t.Errorf("received %s, want %s", d.Data, want)
			}
		}
	})
}

func TestCommitLeavesPartitionsAloneOfWhichNothingCame(t *testing.T) {
	_, seeds := startCluster(t)
	cl := newKafka(t, seeds)
	b := kafkapubsub.New(cl, nil)
	first := open(t, b, driver.SubscribeOptions{Topic: "a", Name: "one"})
	fill(t, seeds, "a", 5, asItIs)
	if err := first.Ack(t.Context(), receive(t, first, 10)); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := open(t, b, driver.SubscribeOptions{Topic: "a", Name: "one"})
	send(t, b, "a", "k", 1)
	if err := again.Ack(t.Context(), receive(t, again, 1)); err != nil {
		t.Fatal(err)
	}
	if got := committed(t, cl, "one@a", "a"); got[0]+got[1] != 11 || min(got[0], got[1]) != 5 {
		t.Errorf("committed %v, want 6 of one partition and 5 of the other, as before", got)
	}
}

func TestAckFailsWhereTheBrokerRefusesAPartition(t *testing.T) {
	fake, seeds := startCluster(t, kfake.DefaultNumPartitions(1))
	cl := newKafka(t, seeds)
	b := kafkapubsub.New(cl, nil)
	s := open(t, b, driver.SubscribeOptions{Topic: "a", Name: "one"})
	send(t, b, "a", "k", 2)
	ds := receive(t, s, 2)
	fake.ControlKey(int16(kmsg.OffsetCommit), func(r kmsg.Request) (kmsg.Response, error, bool) {
		return refuseCommit(r.(*kmsg.OffsetCommitRequest), 29), nil, true // TOPIC_AUTHORIZATION_FAILED, once
	})
	if err := s.Ack(t.Context(), ds[:1]); !errors.Is(err, kerr.TopicAuthorizationFailed) {
		t.Errorf("Ack = %v, want what the broker says", err)
	}
	if got := committed(t, cl, "one@a", "a")[0]; got != 0 {
		t.Errorf("committed %d, want 0", got)
	}
	// Once more, and no delivery that is new.
	if err := s.Ack(t.Context(), ds[:1]); err != nil {
		t.Errorf("Ack afterwards = %v, want nil", err)
	}
	if got := committed(t, cl, "one@a", "a")[0]; got != 1 {
		t.Errorf("committed %d, want 1", got)
	}
}

// refuseCommit answers r with an error for each partition.
func refuseCommit(r *kmsg.OffsetCommitRequest, code int16) kmsg.Response {
	res := r.ResponseKind().(*kmsg.OffsetCommitResponse)
	for _, t := range r.Topics {
		rt := kmsg.NewOffsetCommitResponseTopic()
		rt.Topic, rt.TopicID = t.Topic, t.TopicID
		for _, p := range t.Partitions {
			rp := kmsg.NewOffsetCommitResponseTopicPartition()
			rp.Partition, rp.ErrorCode = p.Partition, code
			rt.Partitions = append(rt.Partitions, rp)
		}
		res.Topics = append(res.Topics, rt)
	}
	return res
}

func TestRevokeCommitsWhatCouldNotBeCommittedBefore(t *testing.T) {
	fake, seeds := startCluster(t, kfake.DefaultNumPartitions(1))
	cl := newKafka(t, seeds)
	b := kafkapubsub.New(cl, nil)
	first := open(t, b, driver.SubscribeOptions{Topic: "a", Name: "one"})
	send(t, b, "a", "k", 1)
	if err := b.Redeliver(t.Context(), "a", "one", []driver.Message{{ID: "2", Data: []byte("2")}}, 0); err != nil {
		t.Fatal(err)
	}
	ds := receive(t, first, 2)
	fake.ControlKey(int16(kmsg.OffsetCommit), func(r kmsg.Request) (kmsg.Response, error, bool) {
		return refuseCommit(r.(*kmsg.OffsetCommitRequest), 29), nil, true
	})
	if err := first.Ack(t.Context(), ds); err == nil {
		t.Error("Ack = nil, want an error")
	}
	second := open(t, b, driver.SubscribeOptions{Topic: "a", Name: "one"})
	sum := func() int64 { return committed(t, cl, "one@a", "a")[0] + committed(t, cl, "one@a", "a.retry.one")[0] }
	for end := time.Now().Add(patience); sum() < 2; <-time.After(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("committed %d records of two", sum())
		}
	}
	if ds, err := none(t, second); err == nil {
		t.Errorf("the second received %s, which was done", ds[0].Position)
	}
}
