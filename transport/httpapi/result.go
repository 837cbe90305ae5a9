package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/mainstay-go/mainstay/transport/internal/reqstate"
)

// resultPlan is what reflection says of a result type, worked out once.
type resultPlan struct {
	pointer  bool         // Res is a pointer, which may be nil
	headers  []param      // fields that are headers
	status   []int        // index of the field that is the status, nil for none
	statuses []int        // what the status may be, the first where the handler does not say
	json     reflect.Type // pointer type that encoding/json sees, nil where there is nothing for it
	raw      *rawBody     // the field that is the body as it is, nil for none
	schema   *schema      // of the JSON body
}

// parts reports whether the result is more than its body.
func (p *resultPlan) parts() bool { return len(p.headers) > 0 || p.status != nil }

func newResultPlan(t reflect.Type, status int) (*resultPlan, error) {
	p := &resultPlan{pointer: t.Kind() == reflect.Pointer}
	if p.pointer {
		t = t.Elem()
	}
	var err error
	if t.Kind() != reflect.Struct || readsItself(t) {
		p.json = reflect.PointerTo(t)
		p.schema, err = newSchema(t, nil)
	} else {
		err = p.scan(t)
	}
	if err == nil {
		err = p.setStatus(t, status)
	}
	return p, err
}

// scan sorts the fields of t into headers, status and body.
func (p *resultPlan) scan(t reflect.Type) error {
	var fields []reflect.StructField
	members := 0
	for i := range t.NumField() {
		f := t.Field(i)
		hidden, err := p.take(f, []int{i})
		switch {
		case err != nil:
			return mistake(t, f, "%w", err)
		case hidden:
			f.Tag = `json:"-"`
		case f.Anonymous || f.IsExported() && f.Tag.Get("json") != "-":
			members++
		}
		fields = append(fields, f)
	}
	if members == 0 {
		return nil
	}
	if p.raw != nil {
		return fmt.Errorf("%v has body:%q beside fields of no header: a body is JSON or one field as it is", t, p.raw.media)
	}
	var err error
	if p.json, err = bodyType(t, fields, p.parts()); err != nil {
		return err
	}
	p.schema, err = newSchema(t, isResultPart)
	return err
}

// isResultPart reports whether a result's field is not in its JSON body.
func isResultPart(f reflect.StructField) bool {
	_, status := f.Tag.Lookup("status")
	in, _, _ := resultTag(f)
	return status || in != ""
}

// resultTag returns where a result's field is, "" for the JSON body. A type that is a request too keeps its parameters
// there.
func resultTag(f reflect.StructField) (in source, name string, err error) {
	for _, s := range []source{inHeader, inBody} {
		if v, ok := f.Tag.Lookup(string(s)); ok {
			only := f
			only.Tag = reflect.StructTag(fmt.Sprintf("%s:%q", s, v))
			return paramTag(only)
		}
	}
	return "", "", nil
}

// take notes a field that is not in the JSON body, and reports whether it is one.
func (p *resultPlan) take(f reflect.StructField, index []int) (bool, error) {
	if tag, ok := f.Tag.Lookup("status"); ok {
		return true, p.takeStatus(f, tag, index)
	}
	in, name, err := resultTag(f)
	switch {
	case err != nil:
		return false, err
	case in == inHeader:
		q, err := newParam(f, in, name, index)
		if err == nil && q.defaults != nil {
			err = errors.New("has a default, which is for requests")
		}
		p.headers = append(p.headers, q)
		return true, err
	case in == inBody && p.raw != nil:
		return true, errors.New("is a second body")
	case in == inBody:
		p.raw, err = newRawBody(f, name, index)
		if err == nil && p.raw.stream && !p.raw.closer {
			err = errors.New("must be an io.ReadCloser: the caller has to close it")
		}
		return true, err
	case f.Anonymous && f.Type.Kind() == reflect.Struct && holds(f.Type, isResultPart):
		return false, errors.New("is embedded and holds a header, a status or a body: write its fields out")
	}
	return false, nil
}

func (p *resultPlan) takeStatus(f reflect.StructField, tag string, index []int) error {
	if p.status != nil || f.Type.Kind() != reflect.Int || !f.IsExported() {
		return errors.New("must be the one status, an exported int")
	}
	p.status = index
	for s := range strings.SplitSeq(tag, ",") {
		n, err := strconv.Atoi(s)
		if err != nil {
			return fmt.Errorf("status:%q is no list such as 200,201", tag)
		}
		p.statuses = append(p.statuses, n)
	}
	return nil
}

// setStatus checks the statuses, that of the options or those of the tag.
func (p *resultPlan) setStatus(t reflect.Type, status int) error {
	switch {
	case status != 0 && p.status != nil:
		return fmt.Errorf("%v has a status, and so have the options", t)
	case status != 0:
		p.statuses = []int{status}
	case p.status == nil && p.json == nil && p.raw == nil:
		p.statuses = []int{http.StatusNoContent}
	case p.status == nil:
		p.statuses = []int{http.StatusOK}
	}
	located := slices.ContainsFunc(p.headers, func(q param) bool { return q.name == "Location" })
	for _, s := range p.statuses {
		switch {
		case s >= 200 && s <= 299:
		case !isRedirect(s):
			return fmt.Errorf("status %d is no success and no redirect", s)
		case !located:
			return fmt.Errorf("status %d redirects, and no field of %v is header:%q", s, t, "Location")
		}
	}
	return nil
}

// isRedirect reports whether a status has a Location to follow (RFC 9110, 15.4).
func isRedirect(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect,
		http.StatusPermanentRedirect:
		return true
	}
	return false
}

// hasBody reports whether an answer of that status may have a body.
func hasBody(status int) bool {
	return status != http.StatusNoContent && status != http.StatusResetContent
}

// encoder writes JSON into a buffer. Both are kept between answers.
type encoder struct {
	buf bytes.Buffer
	enc *json.Encoder
}

var encoders = sync.Pool{New: func() any {
	e := &encoder{}
	e.enc = json.NewEncoder(&e.buf)
	e.enc.SetEscapeHTML(false) // the media type says JSON, and nosniff says to believe it
	return e
}}

// put gives e back, unless encoding failed: an Encoder keeps its error.
func (e *encoder) put() {
	if e.buf.Cap() <= maxPooled {
		e.buf.Reset()
		encoders.Put(e)
	}
}

// respond sends res. What fails after the header is written has nobody to be told.
func (e *Endpoint[Req, Res]) respond(w http.ResponseWriter, r *http.Request, res *Res) {
	if err := e.result.write(w, r, reflect.ValueOf(res)); err != nil {
		WriteError(w, r, fmt.Errorf("httpapi: %q: %w", e.pattern.text, err))
	}
}

// write sends the result that v points to. It returns an error before it has written anything, or none.
func (p *resultPlan) write(w http.ResponseWriter, r *http.Request, v reflect.Value) error {
	if p.pointer {
		v = v.Elem()
		if v.IsNil() {
			w.WriteHeader(http.StatusNoContent)
			return nil
		}
	}
	status, err := p.statusOf(v)
	if err != nil {
		return err
	}
	if p.raw != nil {
		return p.writeRaw(w, r, status, v)
	}
	if p.json == nil {
		if err := p.setHeaders(w.Header(), v); err != nil {
			return err
		}
		w.WriteHeader(status)
		return nil
	}
	return p.writeJSON(w, status, v)
}

func (p *resultPlan) statusOf(v reflect.Value) (int, error) {
	if p.status == nil {
		return p.statuses[0], nil
	}
	status := int(v.Elem().FieldByIndex(p.status).Int())
	switch {
	case status == 0:
		return p.statuses[0], nil
	case !slices.Contains(p.statuses, status):
		return 0, fmt.Errorf("the result's status %d is not declared", status)
	}
	return status, nil
}

func (p *resultPlan) writeJSON(w http.ResponseWriter, status int, v reflect.Value) error {
	e := encoders.Get().(*encoder)
	if err := e.enc.Encode(as(v, p.json)); err != nil {
		return fmt.Errorf("encode the result: %w", err)
	}
	defer e.put()
	h := w.Header()
	if err := p.setHeaders(h, v); err != nil {
		return err
	}
	h["X-Content-Type-Options"] = nosniff
	h["Content-Type"] = contentTypeJSON
	if !hasBody(status) {
		w.WriteHeader(status)
		return nil
	}
	h["Content-Length"] = []string{strconv.Itoa(e.buf.Len())}
	w.WriteHeader(status)
	_, _ = w.Write(e.buf.Bytes())
	return nil
}

// setHeaders sets the headers that are fields of the result. A zero one is not sent.
func (p *resultPlan) setHeaders(h http.Header, v reflect.Value) error {
	for i := range p.headers {
		q := &p.headers[i]
		field := q.field(v.Elem())
		if field.IsZero() {
			continue
		}
		s, present, err := q.codec.text(field)
		switch {
		case err != nil:
			return fmt.Errorf("header %q of the result: %w", q.name, err)
		case present:
			h[q.name] = []string{s}
		}
	}
	return nil
}

// writeRaw sends a result that is its own body, and closes it.
func (p *resultPlan) writeRaw(w http.ResponseWriter, r *http.Request, status int, v reflect.Value) error {
	body := p.raw.reader(v.Elem())
	if c, ok := body.(io.Closer); ok {
		defer c.Close()
	}
	h := w.Header()
	if err := p.setHeaders(h, v); err != nil {
		return err
	}
	h["X-Content-Type-Options"] = nosniff
	if h.Get("Content-Type") == "" && hasBody(status) {
		h.Set("Content-Type", p.raw.orOctets())
	}
	if sized, ok := body.(interface{ Len() int }); ok && hasBody(status) {
		h.Set("Content-Length", strconv.Itoa(sized.Len()))
	}
	w.WriteHeader(status)
	if body == nil || !hasBody(status) {
		return nil
	}
	if _, err := io.Copy(w, body); err != nil {
		if state := reqstate.From(r.Context()); state != nil {
			state.Fail(err)
		}
		panic(http.ErrAbortHandler) // the caller must not take what it has for the whole
	}
	return nil
}
