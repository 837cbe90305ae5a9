package grpcserver

import (
	"fmt"
	"reflect"
	"slices"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// service is one that is registered, with its methods inside the pass.
type service struct {
	desc *grpc.ServiceDesc
	impl any
}

// RegisterService registers impl as the service that sd describes, as the generated functions do. Call it before Run:
// it panics after. A service that is registered twice, or by what does not implement it, is an error of Run.
//
// Each method runs inside the pass that the package comment tells of: its call is observed and authenticated before
// the request is read.
func (s *Server) RegisterService(sd *grpc.ServiceDesc, impl any) {
	if s.running.Load() {
		panic(fmt.Sprintf("grpcserver: service %q is registered after Run", sd.ServiceName))
	}
	if s.err != nil {
		return // Run will say it
	}
	if s.err = s.refuse(sd, impl); s.err != nil {
		return
	}
	observed := *sd
	observed.Methods = slices.Clone(sd.Methods)
	for i := range observed.Methods {
		m := &observed.Methods[i]
		m.Handler = s.unary(s.method(sd.ServiceName, m.MethodName, impl), m.Handler)
	}
	observed.Streams = slices.Clone(sd.Streams)
	for i := range observed.Streams {
		m := &observed.Streams[i]
		streams := s.method(sd.ServiceName, m.StreamName, impl)
		s.streams[streams.info.FullMethod] = streams
		m.Handler = s.stream(streams, m.Handler)
	}
	s.services[sd.ServiceName] = service{&observed, impl}
	s.names[sd.ServiceName] = true
	s.health.SetServingStatus(sd.ServiceName, healthpb.HealthCheckResponse_NOT_SERVING)
}

// refuse says what the library would end the process for.
func (s *Server) refuse(sd *grpc.ServiceDesc, impl any) error {
	if _, ok := s.services[sd.ServiceName]; ok {
		return fmt.Errorf("service %q is registered twice", sd.ServiceName)
	}
	want, got := reflect.TypeOf(sd.HandlerType).Elem(), reflect.TypeOf(impl)
	if impl != nil && !got.Implements(want) {
		return fmt.Errorf("service %q: %v does not implement %v", sd.ServiceName, got, want)
	}
	return nil
}

// method returns the method of a service, and notes that it is there.
func (s *Server) method(service, name string, impl any) *method {
	full := "/" + service + "/" + name
	s.names[full] = true
	m := s.obs.newMethod(service + "/" + name)
	m.rule = rules(s.opts.Rules).of(full)
	m.info = &grpc.UnaryServerInfo{Server: impl, FullMethod: full}
	return m
}

// GetServiceInfo returns what is registered, for reflection.Register.
func (s *Server) GetServiceInfo() map[string]grpc.ServiceInfo {
	all := make(map[string]grpc.ServiceInfo, len(s.services))
	for name, one := range s.services {
		info := grpc.ServiceInfo{Metadata: one.desc.Metadata}
		for _, m := range one.desc.Methods {
			info.Methods = append(info.Methods, grpc.MethodInfo{Name: m.MethodName})
		}
		for _, m := range one.desc.Streams {
			info.Methods = append(info.Methods, grpc.MethodInfo{
				Name: m.StreamName, IsClientStream: m.ClientStreams, IsServerStream: m.ServerStreams,
			})
		}
		all[name] = info
	}
	return all
}
