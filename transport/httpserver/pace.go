package httpserver

import (
	"io"
	"math"
	"net/http"
	"os"
	"time"
)

const (
	// begunAt is how many bytes of an answer are surely more than net/http holds back before it sends any: two buffers
	// of at most 4 KiB.
	begunAt = 8 << 10
	// step is how much may be sent under one write deadline: what is larger is sent in pieces, so that the deadline
	// moves while a slow reader takes it.
	step = 256 << 10
	// rearmEvery is the part of the write time-out after which a deadline is worth moving: it costs a lock, and over
	// HTTP/2 a message to the goroutine of the connection.
	rearmEvery = 8
)

// pace lets an answer that has begun take its time. Until then net/http's own write deadline holds, and the guard of the
// handler's context; from then on what is bounded is the time that one step takes the reader. Its zero value leaves
// deadlines alone.
type pace struct {
	timeout time.Duration // 0: the server has none, or is not ours
	begun   bool          // some of the answer is on its way
	own     bool          // the handler sets deadlines itself
	http2   bool
	armed   time.Time   // when the deadline was moved last; zero while there is none
	guard   *time.Timer // ends the handler's context; nil where nothing of ours does
}

func (p *pace) lift() {
	if p.guard != nil {
		p.guard.Stop()
	}
}

// arm moves the deadline before something is sent.
func (p *pace) arm(w http.ResponseWriter) {
	if p.timeout <= 0 || !p.begun || p.own {
		return
	}
	now := time.Now()
	if now.Sub(p.armed) < p.timeout/rearmEvery {
		return
	}
	p.armed = now
	_ = http.NewResponseController(w).SetWriteDeadline(now.Add(p.timeout)) // without one there is nothing to move
}

// rest is for a stream that has nothing to send for now. HTTP/2's deadline ends the stream whether or not anything is
// being sent; HTTP/1's is looked at when something is.
func (p *pace) rest(w http.ResponseWriter) {
	if p.timeout <= 0 || !p.begun || p.own || !p.http2 || p.armed.IsZero() {
		return
	}
	p.armed = time.Time{}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
}

// sent notes the outcome of a write.
func (rec *recorder) sent(n int64, err error) {
	rec.bytes += n
	if err == nil && rec.bytes > begunAt {
		rec.begin()
	}
}

// begin notes that some of the answer is on its way.
func (rec *recorder) begin() {
	if rec.pace.begun {
		return
	}
	rec.pace.begun = true
	rec.pace.lift()
	rec.place.move((*load).streamers)
}

// write is Write in steps.
func (rec *recorder) write(p []byte) (written int, err error) {
	for {
		rec.pace.arm(rec.w)
		n, err := rec.w.Write(p[:min(len(p), step)])
		written += n
		rec.sent(int64(n), err)
		rec.pace.rest(rec.w)
		if p = p[n:]; err != nil || len(p) == 0 {
			return written, err
		}
	}
}

// readFrom sends a file, or a part of one, in steps of which the system makes no copies (sendfile); other sources are
// waited for without a deadline that runs.
func (rec *recorder) readFrom(src io.Reader) (int64, error) {
	rec.implicit()
	to := rec.w.(io.ReaderFrom)
	if rec.pace.timeout <= 0 {
		n, err := to.ReadFrom(src)
		rec.sent(n, err)
		return n, err
	}
	part, ok := src.(*io.LimitedReader)
	if !ok {
		part = &io.LimitedReader{R: src, N: math.MaxInt64}
	}
	if _, ok := part.R.(*os.File); ok {
		return rec.sendFile(to, part)
	}
	paced := &pacedReader{from: src, rec: rec}
	n, err := to.ReadFrom(paced)
	rec.sent(n-paced.counted, err)
	return n, err
}

func (rec *recorder) sendFile(to io.ReaderFrom, file *io.LimitedReader) (read int64, err error) {
	for {
		piece := io.LimitedReader{R: file.R, N: min(file.N, step)}
		rec.pace.arm(rec.w)
		n, err := to.ReadFrom(&piece)
		file.N -= n
		read += n
		rec.sent(n, err)
		if err != nil || piece.N > 0 || file.N <= 0 {
			return read, err
		}
	}
}

// pacedReader moves the deadline when it has something to send. What was read before has been sent by then.
type pacedReader struct {
	from    io.Reader
	rec     *recorder
	last    int64
	counted int64
}

func (r *pacedReader) Read(p []byte) (int, error) {
	r.rec.sent(r.last, nil)
	r.counted += r.last
	n, err := r.from.Read(p)
	r.last = int64(n)
	r.rec.pace.arm(r.rec.w)
	return n, err
}

// flush says that the answer is a stream, or a large one.
func (rec *recorder) flush() error {
	rec.implicit()
	rec.pace.arm(rec.w)
	err := http.NewResponseController(rec.w).Flush()
	if err == nil {
		rec.begin()
		rec.pace.rest(rec.w)
	}
	return err
}

// SetWriteDeadline is for http.ResponseController: a handler that sets deadlines keeps them.
func (rec *recorder) SetWriteDeadline(t time.Time) error {
	rec.pace.own = true
	return http.NewResponseController(rec.w).SetWriteDeadline(t)
}
