package grpcclient

import (
	"io"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// stream is a ClientStream whose errors are coded and whose end is recorded, once, however it ends.
type stream struct {
	grpc.ClientStream
	observer *observer
	messages *messages
	attempt  attempt
	once     sync.Once
}

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

// finish is called by the library when the stream has ended, whether or not anybody reads on.
func (s *stream) finish(err error) {
	s.once.Do(func() { s.observer.end(&s.attempt, coded(s.attempt.ctx, err)) })
}

// Header returns the server's header, when it is there.
func (s *stream) Header() (metadata.MD, error) {
	md, err := s.ClientStream.Header()
	return md, s.coded(err)
}

// SendMsg sends one message. It returns io.EOF where the stream has ended: RecvMsg tells why.
func (s *stream) SendMsg(m any) error {
	if err := s.ClientStream.SendMsg(m); err != nil {
		return s.coded(err)
	}
	s.messages.sent.Inc()
	return nil
}

// CloseSend says that no more messages follow.
func (s *stream) CloseSend() error { return s.coded(s.ClientStream.CloseSend()) }

// RecvMsg receives one message. It returns io.EOF at a good end.
func (s *stream) RecvMsg(m any) error {
	if err := s.ClientStream.RecvMsg(m); err != nil {
		return s.coded(err)
	}
	s.messages.received.Inc()
	return nil
}

func (s *stream) coded(err error) error {
	if err == io.EOF { //nolint:errorlint // the library returns it bare
		return err
	}
	return coded(s.attempt.ctx, err)
}
