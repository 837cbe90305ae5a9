package httpserver

import "sync/atomic"

// load counts the requests that run, by what cutting them off would break.
type load struct {
	requests atomic.Int64 // whose answer has not begun
	streams  atomic.Int64 // whose answer has begun
	hijacked atomic.Int64 // whose connection the handler took over
}

func (l *load) total() int64 { return l.requests.Load() + l.streams.Load() + l.hijacked.Load() }

func (l *load) streamers() *atomic.Int64 { return &l.streams }
func (l *load) hijackers() *atomic.Int64 { return &l.hijacked }

// place is where one request is counted. Its zero value counts nowhere.
type place struct {
	load *load
	in   *atomic.Int64
}

func (l *load) enter() place {
	if l == nil {
		return place{}
	}
	l.requests.Add(1)
	return place{l, &l.requests}
}

// move counts the request with others from now on, first there and then no more here: the total never falls short.
func (p *place) move(to func(*load) *atomic.Int64) {
	if p.load == nil {
		return
	}
	next := to(p.load)
	next.Add(1)
	p.in.Add(-1)
	p.in = next
}

func (p *place) leave() {
	if p.in != nil {
		p.in.Add(-1)
	}
}
