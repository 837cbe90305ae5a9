// Package problem writes and reads a transport.Error as RFC 9457 problem details.
package problem

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/mainstay-go/mainstay/tracing/correlation"
	"github.com/mainstay-go/mainstay/transport"
)

const (
	// maxBody bounds what is read of a problem.
	maxBody = 64 << 10
	// maxMessage and maxFields bound what is kept of it: it came from outside and goes to logs.
	maxMessage = 1 << 10
	maxFields  = 64
	// maxDelay bounds what a callee may ask its caller to wait.
	maxDelay = 24 * time.Hour
)

// details is the body. A type that is left out means about:blank: the status and the code say what went wrong.
type details struct {
	Type          string                     `json:"type,omitempty"`
	Title         string                     `json:"title"`
	Status        int                        `json:"status"`
	Detail        string                     `json:"detail,omitempty"`
	Code          string                     `json:"code"`
	Fields        []transport.FieldViolation `json:"fields,omitempty"`
	CorrelationID string                     `json:"correlation_id,omitempty"`
}

// Members returns the names that no extension of a problem may have: those of details and of RFC 9457.
func Members() []string {
	return []string{"type", "title", "status", "detail", "instance", "code", "fields", "correlation_id"}
}

// Extension is what a problem of a type of its own has beside the others.
type Extension struct {
	Type    string // URI reference
	Members []byte // a JSON object, none of whose names is one of Members
}

// Write sends e with status. Headers that describe another body are removed; the others stay.
func Write(w http.ResponseWriter, r *http.Request, status int, e *transport.Error) {
	WriteTyped(w, r, status, e, nil)
}

// WriteTyped is Write with what a type of its own adds, nil for nothing.
func WriteTyped(w http.ResponseWriter, r *http.Request, status int, e *transport.Error, x *Extension) {
	h := w.Header()
	for _, name := range []string{"Content-Encoding", "Content-Length", "Etag", "Last-Modified", "Cache-Control"} {
		h.Del(name)
	}
	if e.Delay > 0 {
		h.Set(transport.HeaderRetryAfter, strconv.FormatInt(int64(math.Ceil(e.Delay.Seconds())), 10))
	}
	body := Encode(r.Context(), status, e, x)
	h.Set("Content-Type", transport.ContentTypeProblem)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the caller is gone: nobody is left to tell
}

// Encode returns the JSON of e, on one line.
func Encode(ctx context.Context, status int, e *transport.Error, x *Extension) []byte {
	d := details{
		Title: title(status), Status: status, Detail: e.Message, Code: e.Code.String(), Fields: e.Fields,
		CorrelationID: correlation.FromContext(ctx),
	}
	if x != nil {
		d.Type = x.Type
	}
	body, err := json.Marshal(d)
	if err != nil {
		return []byte("{}") // strings and integers always encode
	}
	if x != nil && len(x.Members) > len("{}") {
		body = append(body[:len(body)-1], ',')
		body = append(body, x.Members[1:]...)
	}
	return body
}

func title(status int) string {
	if status == 499 {
		return "Client Closed Request"
	}
	return http.StatusText(status)
}

// Document is a problem as it came: its type, "" for about:blank, and its JSON, nil where there was none.
type Document struct {
	Type string
	JSON []byte
}

// Read returns the error that a response of 3xx, 4xx or 5xx stands for; Remote is set. What is not a problem of this
// error model is read by its status alone: the beginning of a body of another form (a proxy's page) is the cause, for
// the log, and no part of what may be sent on. Read does not close the body.
func Read(resp *http.Response) *transport.Error {
	e, _ := ReadTyped(resp)
	return e
}

// ReadTyped is Read, with the problem as it came for what Read does not know.
func ReadTyped(resp *http.Response) (*transport.Error, Document) {
	e := &transport.Error{Code: fromStatus(resp.StatusCode), Message: title(resp.StatusCode), Remote: true}
	if e.Message == "" {
		e.Message = "status " + strconv.Itoa(resp.StatusCode)
	}
	e.Delay = RetryAfter(resp.Header.Get(transport.HeaderRetryAfter))
	mt, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || mt != transport.ContentTypeProblem {
		return foreign(e, resp.Body), Document{}
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return e, Document{}
	}
	doc, ours := decode(body, e)
	if !ours {
		return foreign(e, bytes.NewReader(body)), doc
	}
	return e, doc
}

// Decode sets e to what the JSON of a problem says. What it does not say, or what is no problem of this error model,
// leaves e as it is.
func Decode(body []byte, e *transport.Error) Document {
	doc, _ := decode(body, e)
	return doc
}

// decode also reports whether the problem is of this error model: whether it has a code. Another's text is not known to
// be safe to send on.
func decode(body []byte, e *transport.Error) (doc Document, ours bool) {
	var d details
	if json.Unmarshal(body, &d) != nil {
		return Document{}, false
	}
	doc = Document{Type: d.Type, JSON: body}
	c, ok := transport.CodeFromName(d.Code)
	if !ok || c == transport.OK {
		return doc, false
	}
	e.Code = c
	if d.Detail != "" {
		e.Message = shorten(d.Detail)
	}
	for _, f := range d.Fields[:min(len(d.Fields), maxFields)] {
		e.Fields = append(e.Fields, transport.FieldViolation{
			Field: shorten(f.Field), Description: shorten(f.Description),
		})
	}
	return doc, true
}

// fromStatus never returns OK: the answer was not the one asked for.
func fromStatus(status int) transport.Code {
	if c := transport.CodeFromHTTPStatus(status); c != transport.OK {
		return c
	}
	return transport.Unknown
}

// shorten cuts s at maxMessage bytes, between two runes.
func shorten(s string) string {
	if len(s) <= maxMessage {
		return s
	}
	n := maxMessage
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// RetryAfter reads a Retry-After header, in both forms of RFC 9110, 10.2.3. What cannot be read, or lies in the past, is
// zero.
func RetryAfter(s string) time.Duration {
	s = strings.TrimSpace(s)
	if s == "" {
		return 0
	}
	if n, err := strconv.ParseUint(s, 10, 32); err == nil {
		return min(time.Duration(n)*time.Second, maxDelay)
	}
	at, err := http.ParseTime(s)
	if err != nil {
		return 0
	}
	return min(max(time.Until(at), 0), maxDelay)
}
