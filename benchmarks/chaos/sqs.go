package main

import (
	"context"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/sqspubsub"
	"github.com/mainstay-go/mainstay/pubsub/sqspubsub/sqstest"
)

// sqsBroker is SNS and SQS by sqstest, in a process of its own, with FIFO topics and queues. There is no real one to run
// here: moto's FIFO queues do not keep the order of what comes back, and it takes seconds for what this trial asks of it.
type sqsBroker struct{}

func (sqsBroker) command(_ context.Context, _, _ string, ports [2]int) ([]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return []string{self, serveMode, address(ports[0])}, nil
}

// serve is SNS and SQS until ctx ends.
func serve(ctx context.Context, address string) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	s := sqstest.NewServerOn(l)
	<-ctx.Done()
	s.Close()
	return nil
}

func (sqsBroker) dial(_ context.Context, port int) (driver.Broker, func(), error) {
	transport := &http.Transport{MaxIdleConnsPerHost: 20}
	config := aws.Config{
		Region: sqstest.Region, BaseEndpoint: aws.String("http://" + address(port)), HTTPClient: &http.Client{Transport: transport},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "chaos", SecretAccessKey: "chaos"}, nil
		}),
	}
	b := sqspubsub.New(sqs.NewFromConfig(config), sns.NewFromConfig(config), &sqspubsub.Options{
		FIFO: func(string) bool { return true }, PollWait: time.Second,
	})
	return b, transport.CloseIdleConnections, nil
}

func (sqsBroker) order(bool) string { return "by message groups of FIFO queues" }
func (sqsBroker) keeps() bool       { return false }
