// Command sqs moves money between accounts on an SNS FIFO topic. Two SQS queues are behind it: one keeps the balances,
// with the movements of each account in order, the other is told of withdrawals alone, by a filter policy. SNS and SQS
// run in this process unless -endpoint names others.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/sqspubsub"
	"github.com/mainstay-go/mainstay/pubsub/sqspubsub/sqstest"
)

const topic = "example.account.moved"

func main() {
	endpoint := flag.String("endpoint", "", "URL of an SNS and SQS that take any credentials; empty starts both here")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	err := run(ctx, *endpoint, os.Stdout)
	cancel()
	if err != nil {
		slog.Error("ended", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, endpoint string, out io.Writer) error {
	if endpoint == "" {
		server, err := sqstest.NewServer()
		if err != nil {
			return err
		}
		defer server.Close()
		endpoint = server.URL()
	}
	// For Amazon's own: config.LoadDefaultConfig(ctx).
	config := aws.Config{
		Region: sqstest.Region, BaseEndpoint: aws.String(endpoint),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "example", SecretAccessKey: "example"}, nil
		}),
	}
	broker := sqspubsub.New(sqs.NewFromConfig(config), sns.NewFromConfig(config), &sqspubsub.Options{
		FIFO: func(t string) bool { return t == topic },
		FilterPolicy: func(_, name string) string {
			if name == "alarm" {
				return `{"kind": ["withdrawal"]}`
			}
			return ""
		},
		PollWait: time.Second, // which is how long the end of the program takes
	})
	return movements(ctx, pubsub.NewClient(broker, &pubsub.Options{Source: "/example"}), out)
}

// movement is what happens to an account.
func movement(account, kind string, cents int) *pubsub.Message {
	return &pubsub.Message{
		Key: account, Metadata: map[string]string{"kind": kind}, Data: []byte(strconv.Itoa(cents)),
	}
}

// movements publishes some, and prints what became of the accounts.
func movements(ctx context.Context, client *pubsub.Client, out io.Writer) error {
	all := []*pubsub.Message{
		movement("anna", "deposit", 1000), movement("bert", "deposit", 50),
		movement("anna", "withdrawal", -300), movement("anna", "interest", 7),
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	b := &book{accounts: map[string][]string{}, left: len(all) + 1, done: make(chan struct{})}
	subscriptions := []*pubsub.Subscription{
		client.Subscribe(topic, "book", b.enter, &pubsub.SubscriptionOptions{OrderAcrossReplicas: true}),
		client.Subscribe(topic, "alarm", b.alarm, nil),
	}
	ended := make(chan error, len(subscriptions))
	for _, s := range subscriptions {
		go func() { ended <- s.Run(running) }()
		select {
		case <-s.Ready():
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := client.Publish(ctx, topic, all...); err != nil {
		return err
	}
	select {
	case <-b.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	stop()
	err := errors.Join(<-ended, <-ended)
	b.print(out)
	return err
}

// book holds the movements of each account.
type book struct {
	mu       sync.Mutex
	accounts map[string][]string
	alarms   []string
	left     int // to come
	done     chan struct{}
}

func (b *book) enter(_ context.Context, m *pubsub.Message) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.accounts[m.Key] = append(b.accounts[m.Key], string(m.Data))
	b.count()
	return nil
}

func (b *book) alarm(_ context.Context, m *pubsub.Message) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.alarms = append(b.alarms, fmt.Sprintf("%s of %s by %s", m.Metadata["kind"], m.Data, m.Key))
	b.count()
	return nil
}

func (b *book) count() {
	if b.left--; b.left == 0 {
		close(b.done)
	}
}

func (b *book) print(out io.Writer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, account := range []string{"anna", "bert"} {
		fmt.Fprintln(out, account, b.accounts[account])
	}
	for _, a := range slices.Sorted(slices.Values(b.alarms)) {
		fmt.Fprintln(out, "alarm:", a)
	}
}
