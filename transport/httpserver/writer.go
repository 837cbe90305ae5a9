package httpserver

import (
	"bufio"
	"io"
	"net"
	"net/http"

	"github.com/mainstay-go/mainstay/tracing/correlation"
)

// recorder notes what a handler sends. It is an http.ResponseWriter with the three basic methods; wrap adds those
// optional ones that the writer below it has, so that a type assertion tells the truth.
type recorder struct {
	w        http.ResponseWriter
	echo     [1]string // the correlation ID, as the value of a header; "" is none
	status   int       // 0 until the header is written
	bytes    int64
	hijacked bool
	broken   bool // the handler panicked after the header was written
	panicked *panicInfo
	silent   bool // what follows is a mux's text, which a problem stands for
	routing  routing
	place    place
	pace     pace
}

// Unwrap is how http.ResponseController reaches the connection.
func (rec *recorder) Unwrap() http.ResponseWriter { return rec.w }

func (rec *recorder) Header() http.Header { return rec.w.Header() }

func (rec *recorder) WriteHeader(status int) {
	if (status == http.StatusNotFound || status == http.StatusMethodNotAllowed) && rec.refused(status) {
		return
	}
	// 1xx are before the answer, but for 101, which is the last thing that HTTP says.
	if rec.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		rec.status = status
		rec.restoreEcho()
	}
	rec.w.WriteHeader(status)
}

func (rec *recorder) Write(p []byte) (int, error) {
	if rec.silent {
		return len(p), nil
	}
	rec.implicit()
	return rec.write(p)
}

// WriteString saves io.WriteString a copy where the writer below can.
func (rec *recorder) WriteString(s string) (int, error) {
	rec.implicit()
	if len(s) > step {
		return rec.write([]byte(s))
	}
	rec.pace.arm(rec.w)
	n, err := io.WriteString(rec.w, s)
	rec.sent(int64(n), err)
	rec.pace.rest(rec.w)
	return n, err
}

// implicit notes the 200 that net/http sends where a handler writes without a header.
func (rec *recorder) implicit() {
	if rec.status == 0 {
		rec.status = http.StatusOK
		rec.restoreEcho()
	}
}

// restoreEcho makes the correlation ID the only one before the header is sent: a handler that passes on what another
// service answered, such as httputil.ReverseProxy, adds that one's.
func (rec *recorder) restoreEcho() {
	if rec.echo[0] == "" {
		return
	}
	if h := rec.w.Header(); len(h[correlation.Header]) != 1 || h[correlation.Header][0] != rec.echo[0] {
		h[correlation.Header] = rec.echo[:1:1]
	}
}

// finalStatus is the status to count.
func (rec *recorder) finalStatus() int {
	switch {
	case rec.broken:
		return http.StatusInternalServerError
	case rec.status != 0:
		return rec.status
	case rec.hijacked:
		return http.StatusSwitchingProtocols
	}
	return http.StatusOK
}

// unanswered reports whether a caller who left explains status: it is no success, and no panic either.
func (rec *recorder) unanswered(status int) bool {
	return rec.panicked == nil && (status >= 500 || rec.status == 0 && !rec.hijacked)
}

func (rec *recorder) hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(rec.w).Hijack()
	if err == nil && !rec.hijacked {
		rec.hijacked = true
		rec.pace.lift()
		rec.place.move((*load).hijackers)
	}
	return conn, rw, err
}

func (rec *recorder) push(target string, o *http.PushOptions) error {
	return rec.w.(http.Pusher).Push(target, o)
}

// wrap returns rec with the optional methods of the writer below. Each type is one pointer, which is no allocation, but
// for those that no server of net/http makes.
func (rec *recorder) wrap() http.ResponseWriter {
	_, f := rec.w.(http.Flusher)
	_, h := rec.w.(http.Hijacker)
	_, r := rec.w.(io.ReaderFrom)
	if _, p := rec.w.(http.Pusher); p {
		return rec.wrapPusher(f, h, r)
	}
	switch {
	case f && h && r: // HTTP/1
		return flusherHijackerReader{rec}
	case f && h:
		return flusherHijacker{rec}
	case f && r:
		return flusherReader{rec}
	case h && r:
		return hijackerReader{rec}
	case f:
		return flusher{rec}
	case h:
		return hijacker{rec}
	case r:
		return reader{rec}
	}
	return rec
}

func (rec *recorder) wrapPusher(f, h, r bool) http.ResponseWriter {
	p := pusher{rec}
	switch {
	case f && h && r:
		return struct {
			flusherHijackerReader
			pusher
		}{flusherHijackerReader{rec}, p}
	case f && h:
		return struct {
			flusherHijacker
			pusher
		}{flusherHijacker{rec}, p}
	case f && r:
		return struct {
			flusherReader
			pusher
		}{flusherReader{rec}, p}
	case h && r:
		return struct {
			hijackerReader
			pusher
		}{hijackerReader{rec}, p}
	case f: // HTTP/2
		return flusherPusher{rec}
	case h:
		return struct {
			hijacker
			pusher
		}{hijacker{rec}, p}
	case r:
		return struct {
			reader
			pusher
		}{reader{rec}, p}
	}
	return struct {
		*recorder
		pusher
	}{rec, p}
}

// pusher is for embedding beside a type that is a recorder, and so is none itself.
type pusher struct{ rec *recorder }

func (p pusher) Push(target string, o *http.PushOptions) error { return p.rec.push(target, o) }

type flusherPusher struct{ *recorder }

func (w flusherPusher) Flush()                                        { _ = w.flush() }
func (w flusherPusher) FlushError() error                             { return w.flush() }
func (w flusherPusher) Push(target string, o *http.PushOptions) error { return w.push(target, o) }

type flusher struct{ *recorder }

func (w flusher) Flush()            { _ = w.flush() }
func (w flusher) FlushError() error { return w.flush() }

type hijacker struct{ *recorder }

func (w hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) { return w.hijack() }

type reader struct{ *recorder }

func (w reader) ReadFrom(src io.Reader) (int64, error) { return w.readFrom(src) }

type flusherHijacker struct{ *recorder }

func (w flusherHijacker) Flush()                                       { _ = w.flush() }
func (w flusherHijacker) FlushError() error                            { return w.flush() }
func (w flusherHijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) { return w.hijack() }

type flusherReader struct{ *recorder }

func (w flusherReader) Flush()                                { _ = w.flush() }
func (w flusherReader) FlushError() error                     { return w.flush() }
func (w flusherReader) ReadFrom(src io.Reader) (int64, error) { return w.readFrom(src) }

type hijackerReader struct{ *recorder }

func (w hijackerReader) Hijack() (net.Conn, *bufio.ReadWriter, error) { return w.hijack() }
func (w hijackerReader) ReadFrom(src io.Reader) (int64, error)        { return w.readFrom(src) }

type flusherHijackerReader struct{ *recorder }

func (w flusherHijackerReader) Flush()                                       { _ = w.flush() }
func (w flusherHijackerReader) FlushError() error                            { return w.flush() }
func (w flusherHijackerReader) Hijack() (net.Conn, *bufio.ReadWriter, error) { return w.hijack() }
func (w flusherHijackerReader) ReadFrom(src io.Reader) (int64, error)        { return w.readFrom(src) }
