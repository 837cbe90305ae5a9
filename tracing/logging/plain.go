package logging

import (
	"io"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"
)

// plain writes the records that most are: no group, no float, nothing to escape, nothing that computes itself. They take
// slog.JSONHandler three times as long. Each line is the one that it would write, to the byte; what is not plain is left
// to it. A nil plain writes nothing.
type plain struct {
	w     *serial
	attrs []byte // those of the logger, with a comma before each
}

// with returns a plain whose lines have attrs too, nil where those are not plain.
func (p *plain) with(attrs []slog.Attr) *plain {
	if p == nil {
		return nil
	}
	own, ok := appendPlainAttrs(slices.Clip(p.attrs), attrs)
	if !ok {
		return nil
	}
	return &plain{w: p.w, attrs: own}
}

// write writes the line of a record that has attrs, or reports false: then nothing is written. The line is put
// together in room.
func (p *plain) write(room *room, r *slog.Record, attrs []slog.Attr) (ok bool, err error) {
	if p == nil {
		return false, nil
	}
	line, ok := appendHead(room.line[:0], r)
	if ok {
		line, ok = appendPlainAttrs(append(line, p.attrs...), attrs)
	}
	line = append(line, '}', '\n')
	room.line = line
	if ok {
		_, err = p.w.Write(line)
	}
	return ok, err
}

// appendHead appends what slog itself says of a record.
func appendHead(line []byte, r *slog.Record) (_ []byte, ok bool) {
	line = append(line, '{')
	if !r.Time.IsZero() {
		if y := r.Time.Year(); y < 0 || y > 9999 {
			return line, false // RFC 3339 has four digits
		}
		line = append(line, `"time":"`...)
		line = append(r.Time.AppendFormat(line, time.RFC3339Nano), `",`...)
	}
	line = append(line, `"level":"`...)
	line = append(line, r.Level.String()...)
	return appendPlainString(append(line, `","msg":`...), r.Message)
}

func appendPlainAttrs(line []byte, attrs []slog.Attr) (_ []byte, ok bool) {
	for i := range attrs {
		line, ok = appendPlainString(append(line, ','), attrs[i].Key)
		if !ok {
			return line, false
		}
		line = append(line, ':')
		switch v := attrs[i].Value; v.Kind() {
		case slog.KindString:
			if line, ok = appendPlainString(line, v.String()); !ok {
				return line, false
			}
		case slog.KindInt64:
			line = strconv.AppendInt(line, v.Int64(), 10)
		case slog.KindUint64:
			line = strconv.AppendUint(line, v.Uint64(), 10)
		case slog.KindDuration:
			line = strconv.AppendInt(line, int64(v.Duration()), 10)
		case slog.KindBool:
			line = strconv.AppendBool(line, v.Bool())
		default:
			return line, false
		}
	}
	return line, true
}

// appendPlainString appends s in quotes, or reports false where JSON or slog has it otherwise.
func appendPlainString(line []byte, s string) (_ []byte, ok bool) {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return line, false
		}
	}
	line = append(line, '"')
	line = append(line, s...)
	return append(line, '"'), true
}

// serial is a writer that slog's handler and ours share: never two Writes at once.
type serial struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *serial) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}
