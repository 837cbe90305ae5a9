package grpcserver

import (
	"context"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// stream is a ServerStream with another context.
type stream struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // it is what the interface asks for
}

// Context returns the stream's context.
func (s *stream) Context() context.Context { return s.ctx }

// messages count what the streams of one method receive and send.
type messages struct{ received, sent prometheus.Counter }

// messagesOf returns the counters of a method, which are made when it streams for the first time.
func (o *observer) messagesOf(m *method) *messages {
	if c := m.messages.Load(); c != nil {
		return c
	}
	c := &messages{
		received: o.messages.WithLabelValues(m.label, "received"),
		sent:     o.messages.WithLabelValues(m.label, "sent"),
	}
	m.messages.Store(c)
	return c
}

// observedStream is a stream that counts its messages, and notes what the library answers.
type observedStream struct {
	stream
	call           *call
	messages       *messages
	validates      bool
	received, sent atomic.Int64
}

// RecvMsg receives one message.
func (s *observedStream) RecvMsg(m any) error {
	if err := s.call.note(s.ServerStream.RecvMsg(m)); err != nil {
		return err
	}
	s.received.Add(1)
	s.messages.received.Inc()
	if s.validates {
		return validate(m)
	}
	return nil
}

// SendHeader sends the header, with the correlation ID.
func (s *observedStream) SendHeader(md metadata.MD) error {
	s.call.echo(s.ctx, true)
	return s.ServerStream.SendHeader(md)
}

// SendMsg sends one message, and the header before the first.
func (s *observedStream) SendMsg(m any) error {
	s.call.echo(s.ctx, true)
	if err := s.call.note(s.ServerStream.SendMsg(m)); err != nil {
		return err
	}
	s.sent.Add(1)
	s.messages.sent.Inc()
	return nil
}
