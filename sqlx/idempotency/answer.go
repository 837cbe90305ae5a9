package idempotency

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/textproto"
	"slices"

	"github.com/mainstay-go/mainstay/transport/httpapi"
)

// HeaderReplayed is set, to "true", on an answer that was given before.
const HeaderReplayed = "Idempotency-Replayed"

// statusNotKept is the status of an answer that was too large.
const statusNotKept = 0

// answer is what a handler answered.
type answer struct {
	status int
	header http.Header // what of it is kept
	body   []byte
}

// encodeHeader writes the header as HTTP/1.1 does, in which its values come back byte by byte.
func (a *answer) encodeHeader() []byte {
	var b bytes.Buffer
	_ = a.header.Write(&b) // to memory
	return b.Bytes()
}

// decodeAnswer returns what was stored.
func decodeAnswer(f *found) (*answer, error) {
	a := &answer{status: int(f.status.Int64), body: f.body}
	if len(f.header) > 0 {
		text := textproto.NewReader(bufio.NewReader(io.MultiReader(bytes.NewReader(f.header),
			bytes.NewReader([]byte("\r\n")))))
		h, err := text.ReadMIMEHeader()
		if err != nil {
			return nil, fmt.Errorf("idempotency: stored header: %w", err)
		}
		a.header = http.Header(h)
	}
	if a.status != statusNotKept && (a.status < 200 || a.status > 999) {
		return nil, fmt.Errorf("idempotency: stored status %d", a.status)
	}
	return a, nil
}

// replay sends a once more.
func (k *Keys) replay(w http.ResponseWriter, r *http.Request, q *request, f *found) {
	a, err := decodeAnswer(f)
	switch {
	case err != nil:
		k.opt.Logger.ErrorContext(r.Context(), "idempotency: a stored answer cannot be read", "route", q.route, "error", err)
		k.refuse(w, r, q, outcomeFailed, err)
		return
	case a.status == statusNotKept:
		k.refuse(w, r, q, outcomeReplayed, notKept())
		return
	}
	k.counts.add(q.pattern, outcomeReplayed)
	h := w.Header()
	maps.Copy(h, a.header)
	h.Set(HeaderReplayed, "true")
	w.WriteHeader(a.status)
	if len(a.body) > 0 {
		_, _ = w.Write(a.body) // the caller is gone: nobody is left to tell
	}
}

// refuse sends err as problem details.
func (k *Keys) refuse(w http.ResponseWriter, r *http.Request, q *request, outcome string, err error) {
	k.counts.add(q.pattern, outcome)
	if _, ok := errors.AsType[*http.MaxBytesError](err); !ok && r.Context().Err() != nil {
		err = r.Context().Err() // whatever else failed did for that
	}
	httpapi.WriteError(w, r, err)
}

// neverKept are headers of one connection (RFC 9110, section 7.6.1), and of one moment.
func neverKept(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Date":
		return true
	}
	return false
}

// kept returns what of after, a handler's header, is kept: what was not so before.
func (k *Keys) kept(before, after http.Header) http.Header {
	h := http.Header{}
	for name, values := range after {
		if len(values) > 0 && !slices.Equal(values, before[name]) && !neverKept(name) && k.opt.KeepHeader(name) {
			h[name] = values
		}
	}
	return h
}
