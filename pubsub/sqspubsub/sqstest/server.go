package sqstest

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Region and Account are where all that a server holds is.
const (
	Region  = "us-east-1"
	Account = "123456789012"
)

// Server is SQS and SNS on one address of the loopback interface. It is safe for concurrent use.
type Server struct {
	url  string
	http *http.Server
	done chan struct{} // closed once Serve has returned
	stop chan struct{} // closed by Close: long polls end

	mu            sync.Mutex
	queues        map[string]*queue  // by name
	topics        map[string]*topic  // by ARN
	subscriptions map[string]*fanOut // by ARN
	sequence      int64              // of messages in FIFO queues, and of IDs
}

// NewServer starts a server on a free port. Close ends it.
func NewServer() (*Server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("sqstest: %w", err)
	}
	return NewServerOn(l), nil
}

// NewServerOn starts a server that listens on l, whose address its URL names. Close ends both.
func NewServerOn(l net.Listener) *Server {
	s := &Server{
		url: "http://" + l.Addr().String(), done: make(chan struct{}), stop: make(chan struct{}),
		queues: make(map[string]*queue), topics: make(map[string]*topic), subscriptions: make(map[string]*fanOut),
	}
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	go func() {
		defer close(s.done)
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			panic(fmt.Sprintf("sqstest: %v", err)) // a listener that fails leaves a test nothing to go on with
		}
	}()
	return s
}

// URL is the server's endpoint, for both services.
func (s *Server) URL() string { return s.url }

// Close ends the server, with every request under way. It is called once.
func (s *Server) Close() {
	close(s.stop)
	_ = s.http.Close() // what a listener says when it is closed helps nobody
	<-s.done
}

// ServeHTTP tells the two services apart by their protocols: SQS speaks JSON, SNS the query protocol.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if target, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), "AmazonSQS."); ok {
		s.serveSQS(w, r, target)
		return
	}
	s.serveSNS(w, r)
}

// apiError is what the services answer instead of a result.
type apiError struct {
	code, message string
	sender        bool // whether the request is to blame
}

func (e *apiError) Error() string { return e.code + ": " + e.message }

func fault(code, format string, args ...any) *apiError {
	return &apiError{code, fmt.Sprintf(format, args...), true}
}

func queueARN(name string) string { return "arn:aws:sqs:" + Region + ":" + Account + ":" + name }

// id returns an identifier that nothing else has; s.mu is held.
func (s *Server) id() string {
	s.sequence++
	return fmt.Sprintf("%08x-0000-4000-8000-%012x", s.sequence>>48, s.sequence&(1<<48-1))
}
