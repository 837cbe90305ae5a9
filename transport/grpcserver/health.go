package grpcserver

import (
	"context"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// isHealth reports whether full is a method of the health service, whose probes are neither observed nor
// authenticated.
func isHealth(full string) bool {
	return strings.HasPrefix(full, "/"+healthpb.Health_ServiceDesc.ServiceName+"/")
}

// healthService ends its watches when the server drains: there is one for each client that checks health, and a
// graceful stop would wait for all of them.
type healthService struct {
	*health.Server
	draining  <-chan struct{}
	readiness *readiness // nil where the process's checks are not asked
}

// Check returns the status of a service, as the checks have it now.
func (h healthService) Check(
	ctx context.Context, req *healthpb.HealthCheckRequest,
) (*healthpb.HealthCheckResponse, error) {
	if err := h.readiness.refresh(ctx); err != nil {
		return nil, err
	}
	return h.Server.Check(ctx, req)
}

// List returns the status of all services, as the checks have it now.
func (h healthService) List(
	ctx context.Context, req *healthpb.HealthListRequest,
) (*healthpb.HealthListResponse, error) {
	if err := h.readiness.refresh(ctx); err != nil {
		return nil, err
	}
	return h.Server.List(ctx, req)
}

// Watch streams the status of a service. NOT_SERVING is the last of a server that drains.
func (h healthService) Watch(
	req *healthpb.HealthCheckRequest, ss grpc.ServerStreamingServer[healthpb.HealthCheckResponse],
) error {
	if err := h.readiness.refresh(ss.Context()); err != nil {
		return err
	}
	h.readiness.enter()
	defer h.readiness.leave()
	ctx, cancel := context.WithCancel(ss.Context())
	var waiting sync.WaitGroup
	waiting.Go(func() {
		select {
		case <-h.draining:
			cancel()
		case <-ctx.Done():
		}
	})
	err := h.Server.Watch(req, &watchStream{ss, ctx})
	cancel()
	waiting.Wait()
	if ss.Context().Err() == nil {
		// The watch ended because of us, and maybe before it saw that.
		err = ss.Send(&healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_NOT_SERVING})
	}
	return err
}

// watchStream is a watch with another context.
type watchStream struct {
	grpc.ServerStreamingServer[healthpb.HealthCheckResponse]
	ctx context.Context //nolint:containedctx // it is what the interface asks for
}

// Context returns the watch's context.
func (s *watchStream) Context() context.Context { return s.ctx }
