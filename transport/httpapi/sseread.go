package httpapi

import (
	"bufio"
	"bytes"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// eventReader reads an event stream as WHATWG's HTML standard says, section 9.2.6, with bounds: a line and the data of
// an event are at most max bytes each. As browsers do, and unlike that text, it keeps the last ID across connections.
type eventReader struct {
	r      *bufio.Reader
	max    int
	alive  func()        // called for each line
	lastID string        // of the last event that was dispatched, or of another connection before
	retry  time.Duration // what the stream asked for, -1 for nothing
	line   []byte
	begun  bool // the first line has been read
	skipLF bool // the last line ended in a CR, whose LF is yet to come
}

// receivedEvent is one event. data is valid until the next one is read.
type receivedEvent struct {
	name  string // "" for none
	id    string
	hasID bool
	data  []byte
}

func newEventReader(r io.Reader, limit int, lastID string, alive func()) *eventReader {
	return &eventReader{r: bufio.NewReader(r), max: limit, alive: alive, lastID: lastID, retry: -1}
}

// next returns the next event that has data. An event that is not complete at the end of the stream is none.
func (e *eventReader) next() (ev receivedEvent, err error) {
	for {
		line, err := e.readLine()
		if err != nil {
			return receivedEvent{}, err
		}
		if len(line) > 0 {
			if err := e.field(line, &ev); err != nil {
				return receivedEvent{}, err
			}
			continue
		}
		if ev.hasID {
			e.lastID = ev.id
		}
		if len(ev.data) > 0 {
			ev.data = ev.data[:len(ev.data)-1] // the last line's end
			return ev, nil
		}
		ev = receivedEvent{}
	}
}

// field takes in one line.
func (e *eventReader) field(line []byte, ev *receivedEvent) error {
	name, value, _ := bytes.Cut(line, []byte(":")) // a comment is a field without a name
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(name) {
	case "data":
		if len(ev.data)+len(value) > e.max {
			return errTooLarge
		}
		ev.data = append(append(ev.data, value...), '\n')
	case "event":
		ev.name = strings.ToValidUTF8(string(value), "\ufffd")
	case "id":
		if bytes.IndexByte(value, 0) < 0 {
			ev.id, ev.hasID = strings.ToValidUTF8(string(value), "\ufffd"), true
		}
	case "retry":
		e.setRetry(string(value))
	}
	return nil
}

func (e *eventReader) setRetry(digits string) {
	if strings.Trim(digits, "0123456789") != "" || digits == "" {
		return
	}
	ms, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || ms > math.MaxInt64/int64(time.Millisecond) {
		ms = math.MaxInt64 / int64(time.Millisecond)
	}
	e.retry = time.Duration(ms) * time.Millisecond
}

// readLine returns the next line without its end: LF, CR LF or CR. It does not wait for what is behind a CR.
func (e *eventReader) readLine() ([]byte, error) {
	e.line = e.line[:0]
	for {
		if _, err := e.r.Peek(1); err != nil {
			return nil, err
		}
		chunk, _ := e.r.Peek(e.r.Buffered())
		if e.skipLF {
			e.skipLF = false
			if chunk[0] == '\n' {
				_, _ = e.r.Discard(1)
				continue
			}
		}
		end := bytes.IndexAny(chunk, "\r\n")
		part := chunk
		if end >= 0 {
			part = chunk[:end]
			e.skipLF = chunk[end] == '\r'
		}
		if len(e.line)+len(part) > e.max {
			return nil, errTooLarge
		}
		e.line = append(e.line, part...)
		if end < 0 {
			_, _ = e.r.Discard(len(chunk))
			continue
		}
		_, _ = e.r.Discard(end + 1)
		e.alive()
		return e.withoutBOM(), nil
	}
}

// withoutBOM takes off a byte order mark, which only the first line may have.
func (e *eventReader) withoutBOM() []byte {
	if e.begun {
		return e.line
	}
	e.begun = true
	return bytes.TrimPrefix(e.line, []byte("\ufeff"))
}
