package otlp_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/mainstay-go/mainstay/tracing/otlp"
	"github.com/mainstay-go/mainstay/tracing/otlp/otlptest"
)

// wire is a way to a collector.
type wire struct {
	name string
	// open returns an exporter.
	open func(context.Context, *otlp.Options) (trace.SpanExporter, error)
	// url returns where a receiver listens, if it does.
	url func(*otlptest.Receiver) string
	// serve serves r until the test ends, with TLS for a certificate, and returns its address.
	serve func(t testing.TB, r *otlptest.Receiver, c *tls.Certificate) string
}

var wires = []wire{
	{"GRPC", otlp.NewGRPC, (*otlptest.Receiver).GRPCURL, serveGRPC},
	{"HTTP", otlp.NewHTTP, (*otlptest.Receiver).HTTPURL, serveHTTP},
}

func serveGRPC(t testing.TB, r *otlptest.Receiver, c *tls.Certificate) string {
	var options []grpc.ServerOption
	if c != nil {
		options = append(options, grpc.Creds(credentials.NewServerTLSFromCert(c)))
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(options...)
	r.Register(s)
	done := make(chan error)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-done; err != nil {
			t.Errorf("receiver: %v", err)
		}
	})
	return l.Addr().String()
}

func serveHTTP(t testing.TB, r *otlptest.Receiver, c *tls.Certificate) string {
	s := httptest.NewUnstartedServer(r)
	if c != nil {
		s.TLS = &tls.Config{Certificates: []tls.Certificate{*c}}
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// authority returns a certificate for 127.0.0.1 and a configuration that trusts it.
func authority() (*tls.Certificate, *tls.Config) {
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return &s.TLS.Certificates[0], &tls.Config{RootCAs: pool}
}
