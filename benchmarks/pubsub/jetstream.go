package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	watermillnats "github.com/ThreeDotsLabs/watermill-nats/v2/pkg/nats"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mainstay-go/mainstay/pubsub/natspubsub"
)

// window is how many messages are on their way unconfirmed, and how many are asked for at once, on the raw side. The
// kit has the same for a batch; its subscription asks for what its workers take.
const window = 256

func jetstreamContests() []contest {
	kit := way{"natspubsub, observed", kitOnJetStream}
	return []contest{
		{kit: kit, peer: way{"raw async", rawJetStream(nil)}, ratio: 1 / 0.75},
		{kit: kit, peer: way{"raw async, with an ID and the kit's headers", rawJetStream(envelope)}, ratio: 1 / 0.75},
		{kit: kit, peer: way{"watermill-nats, one by one", watermillOneByOne(true)}, ratio: 0.5},
		{kit: kit, peer: way{"watermill-nats, from 100 goroutines", watermillFromMany(true)}, ratio: 0.5},
		{kit: kit, peer: way{"watermill-nats, from 100 goroutines, synchronous acknowledgement", watermillFromMany(false)}, ratio: 0.5},
	}
}

// natsServer is a server in this process, and a connection to it over loopback.
type natsServer struct {
	s   *server.Server
	nc  *nats.Conn
	dir string
}

func startNATS() (*natsServer, error) {
	dir, err := os.MkdirTemp("", "benchmark")
	if err != nil {
		return nil, err
	}
	n := &natsServer{dir: dir}
	n.s, err = server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: dir, NoSigs: true, NoLog: true,
	})
	if err != nil {
		n.close()
		return nil, err
	}
	n.s.Start()
	if !n.s.ReadyForConnections(patience) {
		n.close()
		return nil, errors.New("the server does not come up")
	}
	if n.nc, err = nats.Connect(n.s.ClientURL(), nats.MaxReconnects(-1)); err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

func (n *natsServer) close() {
	if n.nc != nil {
		n.nc.Close()
	}
	if n.s != nil {
		n.s.Shutdown()
		n.s.WaitForShutdown()
	}
	_ = os.RemoveAll(n.dir)
}

func kitOnJetStream(ctx context.Context, handled func()) (line, error) {
	n, err := startNATS()
	if err != nil {
		return line{}, err
	}
	js, err := jetstream.New(n.nc)
	if err != nil {
		n.close()
		return line{}, err
	}
	return kitLine(ctx, natspubsub.New(js, nil), sampling(), brokerBatch, handled, n.close)
}

// envelope is what the kit puts into each header, and what the server needs to drop a second copy: a raw client that has
// neither does less, and so does its server.
func envelope(i int) nats.Header {
	id := fmt.Sprintf("0190b8c5-7b1a-7000-8000-%012d", i)
	return nats.Header{
		jetstream.MsgIDHeader: {topicName + "/" + id},
		"ce-specversion":      {"1.0"},
		"ce-id":               {id},
		"ce-source":           {"/benchmark"},
		"ce-type":             {topicName},
		"ce-time":             {"2026-01-02T03:04:05.678901234Z"},
		"x-correlation-id":    {id},
		"traceparent":         {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"},
	}
}

// rawJetStream is nats.go as it is. Nil header sends payloads alone.
func rawJetStream(header func(i int) nats.Header) func(context.Context, func()) (line, error) {
	return func(ctx context.Context, handled func()) (line, error) {
		n, err := startNATS()
		if err != nil {
			return line{}, err
		}
		l, err := rawLine(ctx, n, header, handled)
		if err != nil {
			n.close()
		}
		return l, err
	}
}

func rawLine(ctx context.Context, n *natsServer, header func(i int) nats.Header, handled func()) (line, error) {
	js, err := jetstream.New(n.nc, jetstream.WithPublishAsyncMaxPending(window))
	if err != nil {
		return line{}, err
	}
	// As the kit creates them.
	s, err := js.CreateStream(ctx, jetstream.StreamConfig{
		Name: topicName, Subjects: []string{topicName}, MaxAge: 7 * 24 * time.Hour, Duplicates: 2 * time.Minute,
	})
	if err != nil {
		return line{}, err
	}
	c, err := s.CreateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: "s", AckPolicy: jetstream.AckExplicitPolicy, AckWait: 30 * time.Second, MaxAckPending: -1,
		FilterSubject: topicName,
	})
	if err != nil {
		return line{}, err
	}
	consuming, err := c.Consume(func(m jetstream.Msg) {
		handled()
		_ = m.Ack()
	}, jetstream.PullMaxMessages(window))
	if err != nil {
		return line{}, err
	}
	return line{publishRaw(js, header), func() {
		consuming.Stop()
		<-consuming.Closed()
		n.close()
	}}, nil
}

func publishRaw(js jetstream.JetStream, header func(i int) nats.Header) func(ctx context.Context, n int) error {
	data := make([]byte, payloadSize)
	sent := 0
	return func(ctx context.Context, n int) error {
		acks := make([]jetstream.PubAckFuture, 0, n)
		for len(acks) < n {
			m := &nats.Msg{Subject: topicName, Data: data}
			if header != nil {
				m.Header = header(sent)
			}
			ack, err := js.PublishMsgAsync(m)
			if errors.Is(err, jetstream.ErrTooManyStalledMsgs) && ctx.Err() == nil {
				continue // a machine that others keep busy
			}
			if err != nil {
				return err
			}
			sent++
			acks = append(acks, ack)
		}
		for _, a := range acks {
			select {
			case <-a.Ok():
			case err := <-a.Err():
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}
}

// watermillPubSub opens both halves of watermill's adapter, with a stream and a durable consumer as the kit has them.
func watermillPubSub(n *natsServer, async bool) (*watermillnats.Publisher, *watermillnats.Subscriber, error) {
	o := watermillnats.JetStreamConfig{AutoProvision: true, AckAsync: async, DurablePrefix: "s"}
	pub, err := watermillnats.NewPublisher(watermillnats.PublisherConfig{URL: n.s.ClientURL(), JetStream: o}, watermill.NopLogger{})
	if err != nil {
		return nil, nil, err
	}
	sub, err := watermillnats.NewSubscriber(watermillnats.SubscriberConfig{
		URL: n.s.ClientURL(), JetStream: o, SubscribersCount: 1,
	}, watermill.NopLogger{})
	if err != nil {
		return nil, nil, errors.Join(err, pub.Close())
	}
	return pub, sub, nil
}

func watermillOneByOne(async bool) func(context.Context, func()) (line, error) {
	return watermillOnJetStream(async, func(l line, _ message.Publisher) line { return l })
}

func watermillFromMany(async bool) func(context.Context, func()) (line, error) {
	return watermillOnJetStream(async, func(l line, pub message.Publisher) line {
		data := make([]byte, payloadSize)
		l.publish = func(ctx context.Context, n int) error {
			return fromMany(ctx, n, func(context.Context) error {
				return pub.Publish(topicName, message.NewMessage(watermill.NewUUID(), data))
			})
		}
		return l
	})
}

func watermillOnJetStream(
	async bool, with func(line, message.Publisher) line,
) func(context.Context, func()) (line, error) {
	return func(ctx context.Context, handled func()) (line, error) {
		n, err := startNATS()
		if err != nil {
			return line{}, err
		}
		pub, sub, err := watermillPubSub(n, async)
		if err != nil {
			n.close()
			return line{}, fmt.Errorf("watermill: %w", err)
		}
		release := func() {
			_, _ = sub.Close(), pub.Close()
			n.close()
		}
		l, err := watermillLine(ctx, pub, sub, brokerBatch, handled, release)
		if err != nil {
			release()
			return line{}, fmt.Errorf("watermill: %w", err)
		}
		return with(l, pub), nil
	}
}
