package platform

import (
	"net/http"

	"google.golang.org/grpc"

	"github.com/mainstay-go/mainstay"
	"github.com/mainstay-go/mainstay/resilience"
	"github.com/mainstay-go/mainstay/transport/grpcclient"
	"github.com/mainstay-go/mainstay/transport/grpcserver"
	"github.com/mainstay-go/mainstay/transport/httpclient"
	"github.com/mainstay-go/mainstay/transport/httpserver"
)

// HTTPServer serves other services on the address that the flags name. Every request needs a token for this service,
// but those to endpoints that say Public.
func (p *Platform) HTTPServer(h http.Handler) mainstay.Runner { return p.serve(h, nil) }

// EdgeServer is HTTPServer for strangers: what they say of themselves is taken from those alone that the flags trust.
func (p *Platform) EdgeServer(h http.Handler) mainstay.Runner { return p.serve(h, p.trusts) }

func (p *Platform) serve(h http.Handler, trust func(*http.Request) bool) mainstay.Runner {
	return httpserver.New(h, &httpserver.Options{
		Addr: p.HTTP, Verifier: p.Verifier, Trust: trust, Logger: p.Logger,
		TracerProvider: p.Tracing.TracerProvider(), Propagator: p.Tracing.Propagator(), Registerer: p.Registry,
	})
}

// HTTPClient returns a client of the service called name at baseURL, with this service's token and a policy of its own.
func (p *Platform) HTTPClient(baseURL, name string) (*httpclient.Client, error) {
	c := httpclient.New(baseURL, &httpclient.Options{
		TokenSource: p.Tokens, Audience: name, Policy: p.policy(name),
		TracerProvider: p.Tracing.TracerProvider(), Propagator: p.Tracing.Propagator(), Registerer: p.Registry,
	})
	return c, c.Err()
}

// GRPCServer returns a server on the address that the flags name, to register services with. Every call needs a token
// for this service.
func (p *Platform) GRPCServer() *grpcserver.Server {
	return grpcserver.New(&grpcserver.Options{
		Addr: p.GRPC, Verifier: p.Verifier, Logger: p.Logger,
		TracerProvider: p.Tracing.TracerProvider(), Propagator: p.Tracing.Propagator(), Registerer: p.Registry,
	})
}

// GRPCClient returns a connection to the service called name at addr, with this service's token and a policy of its
// own. The methods, or services, in idempotent are tried again. It is not encrypted: the shop is one machine.
func (p *Platform) GRPCClient(addr, name string, idempotent ...string) (*grpc.ClientConn, error) {
	conn, err := grpcclient.New(addr, &grpcclient.Options{
		Insecure:    true,
		TokenSource: p.Tokens, Audience: name, Policy: p.policy(name), Idempotent: idempotent,
		TracerProvider: p.Tracing.TracerProvider(), Propagator: p.Tracing.Propagator(), Registerer: p.Registry,
	})
	if err != nil {
		return nil, err
	}
	p.onClose(conn.Close)
	return conn, nil
}

// policy guards the calls to the service called name. Its defaults are a good start: see package resilience.
func (p *Platform) policy(name string) *resilience.Policy {
	return resilience.New(name, &resilience.Options{Logger: p.Logger})
}
