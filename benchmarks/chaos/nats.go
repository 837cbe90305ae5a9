package main

import (
	"context"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/natspubsub"
)

type natsBroker struct{}

func (natsBroker) command(_ context.Context, cache, dir string, ports [2]int) ([]string, error) {
	bin, err := installed(cache, "nats-server")
	if err != nil {
		return nil, err
	}
	return []string{bin, "-a", "127.0.0.1", "-p", strconv.Itoa(ports[0]), "-js", "-sd", dir}, nil
}

func (natsBroker) dial(_ context.Context, port int) (driver.Broker, func(), error) {
	nc, err := nats.Connect("nats://"+address(port), nats.MaxReconnects(-1), nats.ReconnectWait(200*time.Millisecond))
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, nil, err
	}
	return natspubsub.New(js, nil), nc.Close, nil
}

func (natsBroker) order(asked bool) string {
	if !asked {
		return ""
	}
	return "by the pinned client (OrderAcrossReplicas)"
}

func (natsBroker) keeps() bool { return true }
