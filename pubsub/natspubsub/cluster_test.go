package natspubsub_test

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/natspubsub"
)

// startCluster starts three servers that replicate, and returns their URLs.
func startCluster(t *testing.T) []string {
	t.Helper()
	const size = 3
	var routes []*url.URL
	for range size {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		routes = append(routes, &url.URL{Scheme: "nats-route", Host: l.Addr().String()})
		l.Close()
	}
	var urls []string
	for i := range size {
		port, err := strconv.Atoi(routes[i].Port())
		if err != nil {
			t.Fatal(err)
		}
		s, err := server.NewServer(&server.Options{
			ServerName: fmt.Sprint("s", i), Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(),
			NoLog: true, NoSigs: true, Routes: routes,
			Cluster: server.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: port},
		})
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		t.Cleanup(func() {
			s.Shutdown()
			s.WaitForShutdown()
		})
		if !s.ReadyForConnections(patience) {
			t.Fatal("a server does not start")
		}
		urls = append(urls, s.ClientURL())
	}
	return urls
}

// The servers of a cluster send on what their leader had on its way when a process stops.
func TestARollingDeployKeepsOrderOnACluster(t *testing.T) {
	urls := startCluster(t)
	o := &natspubsub.Options{Stream: func(_ string, c *jetstream.StreamConfig) { c.Replicas = len(urls) }}
	clientAt := func(i int) *pubsub.Client {
		return newClient(natspubsub.New(jetStream(t, connect(t, urls[i%len(urls)])), o))
	}
	client := clientAt(0)
	until(t, "the cluster takes a message", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		return client.Publish(ctx, "orders", &pubsub.Message{Data: []byte("0")}) == nil
	})
	const keys, deploys = 20, 15
	var mu sync.Mutex
	next := make(map[string]int) // by key
	var disorder []string
	var handled atomic.Int64
	handle := func(_ context.Context, m *pubsub.Message) error {
		i, err := strconv.Atoi(string(m.Data))
		mu.Lock()
		defer mu.Unlock()
		if i > next[m.Key] {
			disorder = append(disorder, fmt.Sprintf("%s/%d before %d", m.Key, i, next[m.Key]))
		}
		next[m.Key] = max(next[m.Key], i+1)
		handled.Add(1)
		return err
	}
	replica := func(i int) (stop func()) {
		return run(t, clientAt(i).Subscribe("orders", "stock", handle, &pubsub.SubscriptionOptions{
			OrderAcrossReplicas: true, Lease: 2 * time.Second,
		}))
	}
	stop := replica(0)
	ctx, cancel := context.WithCancel(t.Context())
	var publishing sync.WaitGroup
	publishing.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			ms := make([]*pubsub.Message, keys)
			for k := range ms {
				ms[k] = &pubsub.Message{ID: fmt.Sprintf("%d-%d", k, i), Key: fmt.Sprint(k), Data: []byte(strconv.Itoa(i))}
			}
			for client.Publish(ctx, "orders", ms...) != nil && ctx.Err() == nil {
			}
		}
	})
	for i := range deploys {
		after := replica(i + 1)
		before := handled.Load()
		until(t, "messages are handled", func() bool { return handled.Load() > before+5*keys })
		stop()
		stop = after
	}
	cancel()
	publishing.Wait()
	stop()
	mu.Lock()
	defer mu.Unlock()
	if len(disorder) > 0 {
		t.Errorf("%d messages were handled out of order, as in %v", len(disorder), disorder[:min(5, len(disorder))])
	}
}
