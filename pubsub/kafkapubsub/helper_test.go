package kafkapubsub_test

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/kafkapubsub"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds the wait for what has to happen.
const patience = 60 * time.Second

// startCluster returns the addresses of a cluster in this process.
func startCluster(t testing.TB, opts ...kfake.Opt) (*kfake.Cluster, []string) {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{
		kfake.NumBrokers(1), kfake.DefaultNumPartitions(2),
		kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, c.ListenAddrs()
}

func newKafka(t testing.TB, seeds []string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(seeds...), kgo.DisableClientMetrics(), kgo.MetadataMinAge(50 * time.Millisecond),
		kgo.FetchMaxWait(200 * time.Millisecond), kgo.HeartbeatInterval(200 * time.Millisecond),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// realVariable names a real cluster to test against as well.
const realVariable = "MAINSTAY_TEST_KAFKA"

func realCluster(t *testing.T) []string {
	t.Helper()
	seed := os.Getenv(realVariable)
	if seed == "" {
		if os.Getenv("CI") == "true" && os.Getenv("MAINSTAY_TEST_REAL") == "1" {
			t.Fatalf("%s is not set", realVariable)
		}
		t.Skipf("%s is not set", realVariable)
	}
	return []string{seed}
}

// cluster is one to test on.
type cluster struct {
	seeds   []string
	fake    *kfake.Cluster // nil for a real one
	session time.Duration  // the shortest that members may have
}

// onEach tests on a cluster in this process, whose topics have two partitions by default, and on a real one.
func onEach(t *testing.T, test func(t *testing.T, c cluster)) {
	t.Helper()
	t.Run("kfake", func(t *testing.T) {
		fake, seeds := startCluster(t, kfake.GroupMinSessionTimeout(100*time.Millisecond))
		test(t, cluster{seeds: seeds, fake: fake, session: 2 * time.Second})
	})
	t.Run("kafka", func(t *testing.T) {
		test(t, cluster{seeds: realCluster(t), session: 6 * time.Second})
	})
}

// newTopic returns the name of a topic that nobody has.
func newTopic() string { return "test." + strings.ToLower(rand.Text()) }

func newClient(b driver.Broker) *pubsub.Client {
	return pubsub.NewClient(b, &pubsub.Options{
		Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
}

// run runs s until the returned function is called.
func run(t *testing.T, s *pubsub.Subscription) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	select {
	case <-s.Ready():
	case err := <-ended:
		cancel()
		t.Fatalf("Run returned %v before it was ready", err)
	}
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func open(t *testing.T, b *kafkapubsub.Broker, o driver.SubscribeOptions) driver.Subscription {
	t.Helper()
	o.Lease, o.MaxInFlight = time.Minute, 1000
	s, err := b.Subscribe(t.Context(), o)
	if err != nil {
		t.Fatalf("Subscribe: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// receive returns the next n deliveries.
func receive(t *testing.T, s driver.Subscription, n int) []*driver.Delivery {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var got []*driver.Delivery
	for len(got) < n {
		ds, err := s.Receive(ctx, n-len(got))
		if err != nil && (ctx.Err() != nil || errors.Is(err, driver.ErrClosed)) {
			t.Fatalf("received %d, then %v, want %d", len(got), err, n)
		}
		got = append(got, ds...)
	}
	return got
}
