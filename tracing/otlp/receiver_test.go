package otlp_test

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/sdk/trace"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	pb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	_ "google.golang.org/grpc/encoding/gzip" // for exports that are compressed
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/mainstay-go/mainstay/tracing/otlp"
)

// receiver is a collector: OpenTelemetry's own service definition over gRPC, and the same over HTTP.
type receiver struct {
	collector.UnimplementedTraceServiceServer
	// answer says what becomes of an export. Nil takes it.
	answer func(context.Context) (*collector.ExportTraceServiceResponse, error)

	mu      sync.Mutex
	headers http.Header // of the latest export
	path    string      // of the latest over HTTP
	got     []*pb.ResourceSpans
}

// Export takes what comes over gRPC.
func (r *receiver) Export(
	ctx context.Context, req *collector.ExportTraceServiceRequest,
) (*collector.ExportTraceServiceResponse, error) {
	headers := http.Header{}
	md, _ := metadata.FromIncomingContext(ctx)
	for key, values := range md {
		headers[http.CanonicalHeaderKey(key)] = values
	}
	return r.take(ctx, req, headers, "")
}

// ServeHTTP takes what comes over HTTP, in protobuf.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := read(req)
	var export collector.ExportTraceServiceRequest
	if err := errors.Join(err, proto.Unmarshal(body, &export)); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	res, err := r.take(req.Context(), &export, req.Header, req.URL.Path)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	body, err = proto.Marshal(res)
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	w.Write(body)
}

func read(req *http.Request) ([]byte, error) {
	body := io.Reader(req.Body)
	if req.Header.Get("Content-Encoding") == "gzip" {
		var err error
		if body, err = gzip.NewReader(body); err != nil {
			return nil, err
		}
	}
	return io.ReadAll(body)
}

func (r *receiver) take(
	ctx context.Context, req *collector.ExportTraceServiceRequest, headers http.Header, path string,
) (*collector.ExportTraceServiceResponse, error) {
	r.mu.Lock()
	r.headers, r.path = headers, path
	r.got = append(r.got, req.ResourceSpans...)
	r.mu.Unlock()
	if r.answer != nil {
		return r.answer(ctx)
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

// span is one that arrived, with the resource it belongs to.
type span struct {
	*pb.Span
	service, scope string
}

// spans returns those that have arrived, by name.
func (r *receiver) spans() map[string]span {
	r.mu.Lock()
	defer r.mu.Unlock()
	spans := map[string]span{}
	for _, rs := range r.got {
		service := ""
		for _, a := range rs.Resource.Attributes {
			if a.Key == "service.name" {
				service = a.Value.GetStringValue()
			}
		}
		for _, ss := range rs.ScopeSpans {
			for _, s := range ss.Spans {
				spans[s.Name] = span{s, service, ss.Scope.Name}
			}
		}
	}
	return spans
}

// latest returns the headers and the path of the latest export.
func (r *receiver) latest() (http.Header, string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.headers, r.path
}

// wire is a way to a collector.
type wire struct {
	name string
	// open returns an exporter.
	open func(context.Context, *otlp.Options) (trace.SpanExporter, error)
	// serve serves r until the test ends, with TLS for a certificate, and returns its address.
	serve func(t testing.TB, r *receiver, c *tls.Certificate) string
}

var wires = []wire{{"GRPC", otlp.NewGRPC, serveGRPC}, {"HTTP", otlp.NewHTTP, serveHTTP}}

func serveGRPC(t testing.TB, r *receiver, c *tls.Certificate) string {
	var options []grpc.ServerOption
	if c != nil {
		options = append(options, grpc.Creds(credentials.NewServerTLSFromCert(c)))
	}
	l := listen(t)
	s := grpc.NewServer(options...)
	collector.RegisterTraceServiceServer(s, r)
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

func serveHTTP(t testing.TB, r *receiver, c *tls.Certificate) string {
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

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// nobody returns an address where nobody listens.
func nobody(t testing.TB) string {
	l := listen(t)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}

// authority returns a certificate for 127.0.0.1 and a configuration that trusts it.
func authority() (*tls.Certificate, *tls.Config) {
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return &s.TLS.Certificates[0], &tls.Config{RootCAs: pool}
}
