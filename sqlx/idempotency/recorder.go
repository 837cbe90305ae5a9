package idempotency

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
)

// errTooLarge is what a handler's Write returns where its answer can neither be kept nor passed on.
var errTooLarge = errors.New("idempotency: the answer is larger than MaxResponse")

// recorder takes down what a handler answers. A handler that flushes, or answers more than is kept, is passed on from
// there on, unless it is held back.
type recorder struct {
	w        http.ResponseWriter
	before   http.Header
	header   http.Header
	status   int // 0 for none yet
	body     bytes.Buffer
	limit    int  // negative for none
	hold     bool // nothing goes out before the handler has returned
	live     bool // the answer is on its way
	tooLarge bool
}

func newRecorder(w http.ResponseWriter, limit int, hold bool) *recorder {
	before := w.Header().Clone()
	if before == nil {
		before = http.Header{}
	}
	return &recorder{w: w, before: before, header: before.Clone(), limit: limit, hold: hold}
}

// Header implements http.ResponseWriter.
func (rec *recorder) Header() http.Header { return rec.header }

// WriteHeader takes the first status that is final.
func (rec *recorder) WriteHeader(status int) {
	if rec.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		rec.status = status
		rec.header = rec.header.Clone() // later changes are none of the answer's
	}
}

func (rec *recorder) Write(p []byte) (int, error) {
	if rec.status == 0 {
		rec.WriteHeader(http.StatusOK)
	}
	if !rec.tooLarge && rec.limit >= 0 && rec.body.Len()+len(p) > rec.limit {
		rec.tooLarge = true
		if !rec.hold {
			rec.goLive()
		}
		rec.body = bytes.Buffer{}
	}
	switch {
	case rec.tooLarge && rec.hold:
		return 0, errTooLarge
	case !rec.tooLarge:
		rec.body.Write(p)
	}
	if rec.live {
		return rec.w.Write(p)
	}
	return len(p), nil
}

// FlushError is what http.ResponseController calls.
func (rec *recorder) FlushError() error {
	if rec.hold {
		return nil
	}
	if rec.status == 0 {
		rec.WriteHeader(http.StatusOK)
	}
	rec.goLive()
	return http.NewResponseController(rec.w).Flush()
}

// Flush implements http.Flusher.
func (rec *recorder) Flush() { _ = rec.FlushError() }

// Unwrap is for the deadlines of http.ResponseController.
func (rec *recorder) Unwrap() http.ResponseWriter { return rec.w }

// Hijack is refused: what goes past the recorder cannot be kept.
func (rec *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return nil, nil, fmt.Errorf("idempotency: hijack: %w", http.ErrNotSupported)
}

// goLive sends what there is.
func (rec *recorder) goLive() {
	if !rec.live {
		rec.live = true
		rec.send()
	}
}

func (rec *recorder) send() {
	h := rec.w.Header()
	clear(h)
	maps.Copy(h, rec.header)
	rec.w.WriteHeader(rec.status)
	if rec.body.Len() > 0 {
		_, _ = rec.w.Write(rec.body.Bytes()) // the caller is gone: the answer is kept all the same
	}
}

// finish sends the answer, unless it is on its way.
func (rec *recorder) finish() {
	if rec.status == 0 {
		rec.WriteHeader(http.StatusOK)
	}
	rec.goLive()
}

// answer returns what is to be kept.
func (rec *recorder) answer(k *Keys) *answer {
	if rec.status == 0 {
		rec.WriteHeader(http.StatusOK)
	}
	if rec.tooLarge {
		return &answer{status: statusNotKept}
	}
	return &answer{status: rec.status, header: k.kept(rec.before, rec.header), body: rec.body.Bytes()}
}
