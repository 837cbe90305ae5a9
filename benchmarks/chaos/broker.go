package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// broker is what the trial knows about one sort of broker. A server runs it.
type broker interface {
	// command returns what to run so that the broker listens on ports[0], uses at most the other one besides, and keeps
	// its data in dir. cache is where scripts/services has put its binaries.
	command(ctx context.Context, cache, dir string, ports [2]int) ([]string, error)
	// dial connects to it, and returns what ends the connection.
	dial(ctx context.Context, port int) (driver.Broker, func(), error)
	// order says what promises the order of a key across processes where it is asked for or not, "" where nothing does.
	order(asked bool) string
	// keeps reports whether it has its data after a restart, and a topic its past.
	keeps() bool
}

// brokerOf returns the broker of that name.
func brokerOf(name string) (broker, error) {
	switch name {
	case "nats":
		return natsBroker{}, nil
	case "kafka":
		return kafkaBroker{}, nil
	case "sqs":
		return sqsBroker{}, nil
	}
	return nil, fmt.Errorf("broker %q is unknown: nats, kafka and sqs are not", name)
}

// installed returns the newest file that pattern finds in cache.
func installed(cache, pattern string) (string, error) {
	found, err := filepath.Glob(filepath.Join(cache, pattern))
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		return "", fmt.Errorf("no %s in %s: run scripts/services install", pattern, cache)
	}
	return found[len(found)-1], nil
}

// folder makes one below dir.
func folder(dir, name string) (string, error) {
	path := filepath.Join(dir, name)
	return path, os.MkdirAll(path, 0o755)
}
