package sqspubsub_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"go.uber.org/goleak"

	"github.com/mainstay-go/mainstay/pubsub/sqspubsub/sqstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// startServer returns the address of SQS and SNS in this process.
func startServer(t testing.TB) string {
	t.Helper()
	s, err := sqstest.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s.URL()
}

// realVariable names moto to test against as well.
const realVariable = "MAINSTAY_TEST_AWS"

func realServer(t *testing.T) string {
	t.Helper()
	url := os.Getenv(realVariable)
	if url == "" {
		if os.Getenv("CI") == "true" && os.Getenv("MAINSTAY_TEST_REAL") == "1" {
			t.Fatalf("%s is not set", realVariable)
		}
		t.Skipf("%s is not set", realVariable)
	}
	return url
}

var credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
})

// wire is the way to the services, which can be cut.
type wire struct {
	cut       atomic.Bool
	transport *http.Transport
}

func newWire(t testing.TB) *wire {
	w := &wire{}
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	w.transport = &http.Transport{MaxIdleConnsPerHost: 50, DialContext: dialer.DialContext}
	t.Cleanup(w.transport.CloseIdleConnections)
	return w
}

func (w *wire) Do(r *http.Request) (*http.Response, error) {
	if w.cut.Load() {
		return nil, errors.New("the wire is cut")
	}
	return w.transport.RoundTrip(r)
}

// clients reach url through w.
func clients(url string, w *wire) (*sqs.Client, *sns.Client) { return clientsOver(url, w) }

func clientsOver(url string, w aws.HTTPClient) (*sqs.Client, *sns.Client) {
	return sqs.New(sqs.Options{
			BaseEndpoint: aws.String(url), Region: sqstest.Region, Credentials: credentials, HTTPClient: w,
		}), sns.New(sns.Options{
			BaseEndpoint: aws.String(url), Region: sqstest.Region, Credentials: credentials, HTTPClient: w,
		})
}
