package kafkapubsub_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/kafkapubsub"
)

// fill stores n records, "0/0", "0/1", …, in each of two partitions of topic, whose offsets are the numbers.
func fill(t *testing.T, seeds []string, topic string, n int, change func(*kgo.Record)) {
	t.Helper()
	cl := newKafka(t, seeds, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	var rs []*kgo.Record
	for i := range n {
		for p := range int32(2) {
			r := &kgo.Record{Topic: topic, Partition: p, Value: fmt.Appendf(nil, `"%d/%d"`, p, i)}
			change(r)
			rs = append(rs, r)
		}
	}
	if err := cl.ProduceSync(t.Context(), rs...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func asItIs(*kgo.Record) {}

// committed returns the offsets that a group has committed in topic, by partition.
func committed(t *testing.T, cl *kgo.Client, group, topic string) map[int32]int64 {
	t.Helper()
	os, err := kadm.NewClient(cl).FetchOffsets(t.Context(), group)
	if err != nil {
		t.Fatal(err)
	}
	got := map[int32]int64{}
	for p, o := range os[topic] {
		got[p] = o.At
	}
	return got
}

// book notes what was handled.
type book struct {
	mu   sync.Mutex
	n    map[string]int
	news chan struct{}
}

func newBook() *book { return &book{n: map[string]int{}, news: make(chan struct{}, 1)} }

func (b *book) note(what string) {
	b.mu.Lock()
	b.n[what]++
	b.mu.Unlock()
	select {
	case b.news <- struct{}{}:
	default:
	}
}

// all returns how many are noted, and how many of them more than once.
func (b *book) all() (different, again int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, n := range b.n {
		if n > 1 {
			again++
		}
	}
	return len(b.n), again
}

// wait returns once n are noted.
func (b *book) wait(t *testing.T, n int) {
	t.Helper()
	late := time.After(patience)
	for {
		if different, _ := b.all(); different >= n {
			return
		}
		select {
		case <-b.news:
		case <-late:
			different, _ := b.all()
			t.Fatalf("%d were handled, want %d", different, n)
		}
	}
}

// wire is a way to a cluster that can be cut.
type wire struct {
	mu    sync.Mutex
	cut   bool
	conns []net.Conn
}

func (w *wire) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cut {
		return nil, errors.New("cut")
	}
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err == nil {
		w.conns = append(w.conns, c)
	}
	return c, err
}

func (w *wire) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = false
}

func (w *wire) sever() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = true
	for _, c := range w.conns {
		c.Close()
	}
}

// A second process joins midway, and then the first one dies.
func TestRebalanceCommitsNothingUnfinishedAndLosesNothing(t *testing.T) {
	onEach(t, func(t *testing.T, c cluster) {
		const perPartition = 600
		direct, topic := newKafka(t, c.seeds), newTopic()
		err := kafkapubsub.New(direct, &kafkapubsub.Options{Partitions: 2}).
			Declare(t.Context(), []string{topic, topic + ".dead-letter.sum"})
		if err != nil {
			t.Fatal(err)
		}
		// Without a retry topic, each of two processes has one of the two partitions.
		o := &kafkapubsub.Options{SessionTimeout: c.session, NoCreate: true}
		fill(t, c.seeds, topic, perPartition, asItIs)
		done := newBook()
		early := done.watchCommits(t, c, direct, "sum@"+topic, topic)
		handle := func(_ context.Context, m *pubsub.Message) error {
			<-time.After(5 * time.Millisecond)
			done.note(string(m.Data))
			return nil
		}
		so := &pubsub.SubscriptionOptions{Concurrency: 2, DrainTimeout: -1, Start: pubsub.Start{Earliest: true}}
		var byDying atomic.Int32
		w, died := new(wire), make(chan struct{})
		mortal := func(ctx context.Context, m *pubsub.Message) error {
			select {
			case <-died: // with what it has in memory
				<-ctx.Done()
				return ctx.Err()
			default:
				byDying.Add(1)
				return handle(ctx, m)
			}
		}
		dying := newClient(kafkapubsub.New(newKafka(t, c.seeds, kgo.Dialer(w.dial)), o)).Subscribe(topic, "sum", mortal, so)
		ctx, kill := context.WithCancel(context.Background())
		dead := make(chan error, 1)
		go func() { dead <- dying.Run(ctx) }()
		done.wait(t, 100)
		run(t, newClient(kafkapubsub.New(direct, o)).Subscribe(topic, "sum", handle, &pubsub.SubscriptionOptions{
			Concurrency: 2, Start: pubsub.Start{Earliest: true},
		}))
		done.wait(t, 500)
		if _, again := done.all(); again > 0 {
			t.Errorf("%d records were handled twice though the partition was handed over in order", again)
		}
		w.sever()
		close(died)
		if n := byDying.Load(); n >= perPartition {
			t.Errorf("the first process had handled %d, so that nothing of it was left to be taken over", n)
		}
		done.wait(t, 2*perPartition)
		if n := early(); n > 0 {
			t.Errorf("%d commits were above an unfinished record, want none", n)
		}
		kill()
		if err := <-dead; err == nil {
			t.Error("Run of the severed process = nil, want an error: it could not say good-bye")
		}
	})
}

// watchCommits returns how many commits were above what was not done: all of them in this process, those that are seen
// in passing on a real cluster.
func (b *book) watchCommits(t *testing.T, c cluster, cl *kgo.Client, group, topic string) (early func() int32) {
	var n atomic.Int32
	if c.fake != nil {
		c.fake.ControlKey(int16(kmsg.OffsetCommit), func(r kmsg.Request) (kmsg.Response, error, bool) {
			c.fake.KeepControl()
			for _, asked := range r.(*kmsg.OffsetCommitRequest).Topics {
				for _, p := range asked.Partitions {
					if asked.Topic == topic && b.lacks(p.Partition, p.Offset) {
						n.Add(1)
					}
				}
			}
			return nil, nil, false
		})
		return n.Load
	}
	admin := kadm.NewClient(cl)
	ctx, cancel := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	watching.Go(func() {
		for ctx.Err() == nil {
			os, _ := admin.FetchOffsets(ctx, group) // none before the group is there
			for p, o := range os[topic] {
				if b.lacks(p, o.At) {
					n.Add(1)
				}
			}
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
	})
	stop := func() int32 {
		cancel()
		watching.Wait()
		return n.Load()
	}
	t.Cleanup(func() { stop() })
	return stop
}

// lacks reports whether something of a partition that fill made is not noted below offset.
func (b *book) lacks(partition int32, offset int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range offset {
		if b.n[fmt.Sprintf(`"%d/%d"`, partition, i)] == 0 {
			return true
		}
	}
	return false
}

func TestPoisonRecordCostsOneRecord(t *testing.T) {
	_, seeds := startCluster(t)
	cl := newKafka(t, seeds)
	b := kafkapubsub.New(cl, nil)
	client := newClient(b)
	topic := pubsub.NewTopic[string]("texts", nil)
	handled := newBook()
	letters := make(chan *pubsub.DeadLetter, 10)
	run(t, client.Subscribe("texts.dead-letter.one", "operator", func(_ context.Context, m *pubsub.Message) error {
		letters <- m.DeadLetter
		return nil
	}, nil))
	stop := run(t, topic.Subscribe(client, "one", func(_ context.Context, s string) error {
		handled.note(s)
		return nil
	}, &pubsub.SubscriptionOptions{Retry: pubsub.Retry{MaxAttempts: 3}}))
	fill(t, seeds, "texts", 100, func(r *kgo.Record) {
		if string(r.Value) == `"0/10"` {
			r.Value = []byte("poison")
		}
	})
	handled.wait(t, 199)
	l := <-letters
	if l == nil || l.Topic != "texts" || l.Position != "texts/0/10" || l.Attempts != 1 {
		t.Errorf("dead letter %+v, want texts/0/10 after 1 attempt: what does not decode is permanent", l)
	}
	stop()
	if got := committed(t, cl, "one@texts", "texts"); got[0] != 100 || got[1] != 100 {
		t.Errorf("committed %v, want 100 and 100", got)
	}
	if len(letters) > 0 {
		t.Errorf("one more dead letter: %+v", <-letters)
	}
}

func TestStopFinishesCommitsAndLeaves(t *testing.T) {
	onEach(t, func(t *testing.T, c cluster) {
		cl, topic := newKafka(t, c.seeds), newTopic()
		client := newClient(kafkapubsub.New(cl, &kafkapubsub.Options{Partitions: 1}))
		handled, held := newBook(), make(chan struct{}, 5)
		handle := func(_ context.Context, m *pubsub.Message) error {
			if m.Type == "slow" {
				held <- struct{}{}
				<-time.After(200 * time.Millisecond)
			}
			handled.note(m.ID)
			return nil
		}
		o := &pubsub.SubscriptionOptions{Concurrency: 5, DrainTimeout: patience}
		stop := run(t, client.Subscribe(topic, "one", handle, o))
		send := func(from, to int, kind string) {
			for i := from; i < to; i++ {
				err := client.Publish(t.Context(), topic, &pubsub.Message{ID: fmt.Sprint(i), Type: kind})
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		send(0, 100, "quick")
		handled.wait(t, 100)
		send(100, 105, "slow")
		for range 5 {
			<-held
		}
		stop()
		if got := committed(t, cl, "one@"+topic, topic); got[0] != 105 {
			t.Errorf("committed %v, want 105", got)
		}
		groups, err := kadm.NewClient(cl).DescribeGroups(t.Context(), "one@"+topic)
		if g := groups["one@"+topic]; err != nil || len(g.Members) > 0 {
			t.Errorf("the group has members %v, %v, want none", g.Members, err)
		}
		run(t, client.Subscribe(topic, "one", handle, o))
		send(105, 106, "quick")
		handled.wait(t, 106)
		if _, again := handled.all(); again > 0 {
			t.Errorf("%d were handled twice, want none", again)
		}
	})
}

func TestCloseEndsWithItsContextThoughNobodyAnswers(t *testing.T) {
	_, seeds := startCluster(t)
	w := new(wire)
	b := kafkapubsub.New(newKafka(t, seeds, kgo.Dialer(w.dial)), nil)
	s, err := b.Subscribe(t.Context(), driver.SubscribeOptions{
		Topic: "work", Name: "one", Lease: time.Minute, MaxInFlight: 10,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Publish(t.Context(), "work", []driver.Message{{ID: "1"}}); err != nil {
		t.Fatal(err)
	}
	ds := receive(t, s, 1)
	w.sever()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := s.Ack(ctx, ds); err == nil {
		t.Error("Ack that could not be committed = nil, want an error")
	}
	ctx, cancel = context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	began := time.Now()
	err = s.Close(ctx)
	if took := time.Since(began); err == nil || took > 10*time.Second {
		t.Errorf("Close = %v after %v, want an error after about 1s", err, took)
	}
}

func TestCloseEndsWithItsContextThoughTheBrokerHangs(t *testing.T) {
	fake, seeds := startCluster(t)
	b := kafkapubsub.New(newKafka(t, seeds), nil)
	s, err := b.Subscribe(t.Context(), driver.SubscribeOptions{
		Topic: "work", Name: "one", Lease: time.Minute, MaxInFlight: 10,
	})
	if err != nil {
		t.Fatal(err)
	}
	send(t, b, "work", "k", 1)
	if err := s.Ack(t.Context(), receive(t, s, 1)); err != nil {
		t.Fatal(err)
	}
	awake := make(chan struct{})
	defer close(awake)
	for _, key := range []kmsg.Key{kmsg.LeaveGroup, kmsg.Heartbeat, kmsg.Fetch} {
		fake.ControlKey(int16(key), func(kmsg.Request) (kmsg.Response, error, bool) {
			fake.KeepControl()
			<-awake
			return nil, nil, false
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.Close(ctx) }()
	select {
	case err := <-ended:
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close = %v, want that its context ended", err)
		}
	case <-time.After(patience / 2):
		t.Error("Close goes on after its context")
	}
}

func TestRevokedPartitionIsKeptUntilWhatRunsHasEnded(t *testing.T) {
	onEach(t, func(t *testing.T, c cluster) {
		cl, topic := newKafka(t, c.seeds), newTopic()
		b := kafkapubsub.New(cl, &kafkapubsub.Options{Partitions: 1})
		revoked := make(chan []*driver.Delivery, 10)
		// Members are sorted by ID, which decides who gets a partition; so both partitions of the group, the retry topic's
		// too, are held by the first, and one of them goes to the second.
		a := open(t, b, driver.SubscribeOptions{
			Topic: topic, Name: "one", Revoke: func(ds []*driver.Delivery) { revoked <- ds },
		})
		if err := b.Publish(t.Context(), topic, []driver.Message{{ID: "1", Data: []byte("1")}}); err != nil {
			t.Fatal(err)
		}
		if err := b.Redeliver(t.Context(), topic, "one", []driver.Message{{ID: "2", Data: []byte("2")}}, 0); err != nil {
			t.Fatal(err)
		}
		ds := receive(t, a, 2)
		open(t, b, driver.SubscribeOptions{Topic: topic, Name: "one"})
		var back []*driver.Delivery
		select {
		case back = <-revoked:
		case <-time.After(patience):
			t.Fatal("nothing was called back")
		}
		if len(back) != 1 {
			t.Fatalf("%d were called back, want the one of the partition that leaves", len(back))
		}
		if err := a.Ack(t.Context(), ds); err != nil {
			t.Fatal(err)
		}
		total := committed(t, cl, "one@"+topic, topic)[0] + committed(t, cl, "one@"+topic, topic+".retry.one")[0]
		if total != 2 {
			t.Errorf("committed %d records of two, want both: one of them was leaving", total)
		}
	})
}

func TestReleasedMessageGoesWithItsPartition(t *testing.T) {
	onEach(t, func(t *testing.T, c cluster) {
		cl, topic := newKafka(t, c.seeds), newTopic()
		b := kafkapubsub.New(cl, &kafkapubsub.Options{Partitions: 1, RevokeTimeout: 5 * time.Minute})
		revoked := make(chan []*driver.Delivery, 10)
		first := open(t, b, driver.SubscribeOptions{
			Topic: topic, Name: "one", Revoke: func(ds []*driver.Delivery) { revoked <- ds },
		})
		send(t, b, topic, "k", 1)
		if err := b.Redeliver(t.Context(), topic, "one", []driver.Message{{ID: "2", Data: []byte("2")}}, 0); err != nil {
			t.Fatal(err)
		}
		held := receive(t, first, 2)
		second := open(t, b, driver.SubscribeOptions{Topic: topic, Name: "one"})
		var back []*driver.Delivery
		select {
		case back = <-revoked:
		case <-time.After(patience):
			t.Fatal("nothing was called back")
		}
		// All of it, as a whole key would be: what does not leave is received here again.
		if err := first.Release(t.Context(), held, 0); err != nil {
			t.Fatal(err)
		}
		ds, err := first.Receive(t.Context(), 10)
		if err != nil || len(ds) != 1 || ds[0].Position == back[0].Position {
			t.Errorf("the first received %d, %v, want the one that stayed alone", len(ds), err)
		}
		if d := receive(t, second, 1)[0]; d.Position != back[0].Position {
			t.Errorf("the second received %s, want %s", d.Position, back[0].Position)
		}
	})
}

func TestRevokedPartitionIsKeptNoLongerThanRevokeTimeout(t *testing.T) {
	for name, timeout := range map[string]time.Duration{"Short": 300 * time.Millisecond, "Off": -1} {
		t.Run(name, func(t *testing.T) {
			onEach(t, func(t *testing.T, c cluster) {
				topic := newTopic()
				b := kafkapubsub.New(newKafka(t, c.seeds), &kafkapubsub.Options{Partitions: 1, RevokeTimeout: timeout})
				first := open(t, b, driver.SubscribeOptions{Topic: topic, Name: "one"})
				send(t, b, topic, "k", 1)
				err := b.Redeliver(t.Context(), topic, "one", []driver.Message{{ID: "2", Data: []byte("2")}}, 0)
				if err != nil {
					t.Fatal(err)
				}
				receive(t, first, 2) // and never settled
				receive(t, open(t, b, driver.SubscribeOptions{Topic: topic, Name: "one"}), 1)
			})
		})
	}
}
