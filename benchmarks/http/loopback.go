package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/mainstay-go/mainstay/benchmarks/bench"
)

// server is one side behind a socket.
type server interface {
	Run(ctx context.Context) error
	Ready() <-chan struct{}
	Addr() string
}

// running is a server that has been started.
type running struct {
	addr string
	stop func() error
}

// start runs a new server until stop, which waits for its end.
func start(ctx context.Context, t telemetry, newServer func(telemetry) (server, error)) (*running, error) {
	s, err := newServer(t)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	select {
	case <-s.Ready():
	case err := <-ended:
		cancel()
		return nil, errors.Join(errors.New("the server ended at once"), err)
	}
	return &running{addr: s.Addr(), stop: func() error {
		cancel()
		return <-ended
	}}, nil
}

// load is what a few clients, each sending its next request when it has the answer to the last, saw of a server.
type load struct {
	p50, p99 float64 // µs
	rate     float64 // requests/s
	cpu      float64 // µs of processor time a request, of the clients and the server together
}

// connections are keep-alive clients of one server.
type connections []*connection

// connection is a client that costs next to nothing: it sends the same bytes, and reads as many as it got at first.
type connection struct {
	conn    net.Conn
	request []byte
	want    string // how the answer begins
	answer  []byte
	took    []time.Duration
}

// dial opens n connections to addr, and sends the request on each, whose answer's status is want.
func dial(ctx context.Context, addr string, n, want int, newRequest requestTo) (cs connections, err error) {
	r, err := newRequest(addr)
	if err != nil {
		return nil, err
	}
	var request bytes.Buffer
	if err := r.Write(&request); err != nil {
		return nil, err
	}
	for range n {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		if err != nil {
			return nil, errors.Join(err, cs.close())
		}
		c := &connection{conn: conn, request: request.Bytes(), want: fmt.Sprintf("HTTP/1.1 %d ", want)}
		cs = append(cs, c)
		if err := c.first(); err != nil {
			return nil, errors.Join(err, cs.close())
		}
	}
	return cs, nil
}

func (cs connections) close() error {
	var errs []error
	for _, c := range cs {
		errs = append(errs, c.conn.Close())
	}
	return errors.Join(errs...)
}

// patience bounds what a connection waits for.
const patience = 10 * time.Second

// first learns how long an answer is: all are alike.
func (c *connection) first() error {
	if err := c.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := c.conn.Write(c.request); err != nil {
		return err
	}
	var seen bytes.Buffer
	buffered := bufio.NewReader(io.TeeReader(c.conn, &seen))
	resp, err := http.ReadResponse(buffered, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if !bytes.HasPrefix(seen.Bytes(), []byte(c.want)) {
		return fmt.Errorf("%w: %s", errRefused, resp.Status)
	}
	c.answer = make([]byte, seen.Len()-buffered.Buffered())
	return nil
}

func (c *connection) exchange() error {
	if _, err := c.conn.Write(c.request); err != nil {
		return err
	}
	if _, err := io.ReadFull(c.conn, c.answer); err != nil {
		return err
	}
	if !bytes.HasPrefix(c.answer, []byte(c.want)) {
		return fmt.Errorf("%w: %.80q", errRefused, c.answer)
	}
	return nil
}

// send exchanges until end, and notes how long each exchange took.
func (c *connection) send(end time.Time) error {
	c.took = c.took[:0]
	if err := c.conn.SetDeadline(end.Add(patience)); err != nil {
		return err
	}
	for begin := time.Now(); begin.Before(end); {
		if err := c.exchange(); err != nil {
			return err
		}
		now := time.Now()
		c.took = append(c.took, now.Sub(begin))
		begin = now
	}
	return nil
}

// load sends on all connections for d.
func (cs connections) load(d time.Duration) (load, error) {
	var wg sync.WaitGroup
	errs := make([]error, len(cs))
	begin, used := time.Now(), bench.CPUTime()
	for i, c := range cs {
		wg.Go(func() { errs[i] = c.send(begin.Add(d)) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return load{}, err
	}
	elapsed, used := time.Since(begin), bench.CPUTime()-used
	var all []time.Duration
	for _, c := range cs {
		all = append(all, c.took...)
	}
	slices.Sort(all)
	return load{
		p50: microseconds(all[len(all)/2]), p99: microseconds(all[len(all)*99/100]),
		rate: float64(len(all)) / elapsed.Seconds(), cpu: microseconds(used) / float64(len(all)),
	}, nil
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
