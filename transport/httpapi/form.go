package httpapi

import (
	"errors"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/internal/reqstate"
)

const (
	mediaForm      = "application/x-www-form-urlencoded"
	mediaMultipart = "multipart/form-data"
	// maxFormMemory is what a multipart form keeps of its files in memory. The rest is in temporary files, which are
	// removed when the handler has returned.
	maxFormMemory = 1 << 20
)

// readForm fills in the fields of req, a request, that are in the form. The form, nil for none, is to be removed.
func (c *contract) readForm(w http.ResponseWriter, r *http.Request, state *reqstate.State, req reflect.Value,
	bad *violations) (*multipart.Form, error) {
	body := c.limited(w, r, state)
	mt, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case r.ContentLength == 0:
		c.plan.fillForm(req, &multipart.Form{}, bad)
		return nil, nil
	case err == nil && mt == mediaForm && !c.plan.files:
		values, err := readURLEncoded(r, body)
		if err != nil {
			return nil, err
		}
		form := &multipart.Form{Value: values}
		c.refuseUnknown(form, bad)
		c.plan.fillForm(req, form, bad)
		return nil, nil
	case err == nil && mt == mediaMultipart:
		form, err := multipart.NewReader(body, params["boundary"]).ReadForm(maxFormMemory)
		if err != nil {
			return nil, formError(r, err)
		}
		c.refuseUnknown(form, bad)
		c.plan.fillForm(req, form, bad)
		return form, nil
	case c.plan.files:
		return nil, unsupported(mediaMultipart)
	}
	return nil, unsupported(mediaForm + " or " + mediaMultipart)
}

func readURLEncoded(r *http.Request, body io.Reader) (url.Values, error) {
	buf := getBuffer()
	defer putBuffer(buf)
	if _, err := buf.ReadFrom(body); err != nil {
		return nil, bodyError(r, err)
	}
	values, err := url.ParseQuery(buf.String())
	if err != nil {
		return nil, transport.NewError(transport.InvalidArgument, "the form is malformed", err)
	}
	return values, nil
}

func formError(r *http.Request, err error) error {
	if errors.Is(err, multipart.ErrMessageTooLarge) {
		return &statusError{http.StatusRequestEntityTooLarge,
			transport.NewError(transport.InvalidArgument, "the form has too many parts, or too large ones", err)}
	}
	coded := bodyError(r, err)
	if e, ok := errors.AsType[*transport.Error](coded); ok && e.Code == transport.InvalidArgument {
		return transport.NewError(transport.InvalidArgument, "the form is malformed", err)
	}
	return coded
}

// refuseUnknown reports the names of a form that a strict contract does not know.
func (c *contract) refuseUnknown(form *multipart.Form, bad *violations) {
	if !c.strict {
		return
	}
	names := slices.AppendSeq(slices.Collect(maps.Keys(form.Value)), maps.Keys(form.File))
	slices.Sort(names)
	for _, name := range names {
		known := slices.ContainsFunc(c.plan.params, func(q param) bool {
			_, isFile := form.File[name]
			return q.in == inForm && q.name == name && isFile == (q.file != noFile)
		})
		if !known {
			bad.enter(name)
			name = strings.TrimPrefix(bad.pointer(), "/") // bounded
			bad.leave()
			bad.add(name, "is not known")
		}
	}
}

func (p *plan) fillForm(req reflect.Value, form *multipart.Form, bad *violations) {
	for i := range p.params {
		q := &p.params[i]
		switch {
		case q.in != inForm:
		case q.file == noFile:
			q.fill(q.field(req), form.Value[q.name], bad)
		default:
			q.fillFiles(q.field(req), form.File[q.name], bad)
		}
	}
}

func (q *param) fillFiles(v reflect.Value, headers []*multipart.FileHeader, bad *violations) {
	var files []*File
	for _, h := range headers {
		files = append(files, receivedFile(h))
	}
	switch {
	case q.required && len(files) == 0:
		bad.add(q.name, isRequired)
	case q.file == manyFiles:
		v.Set(reflect.ValueOf(files))
		if len(files) > 0 {
			q.rules.check(v, bad, q.name)
		}
	case len(files) > 1:
		bad.add(q.name, once)
	case len(files) == 1:
		v.Set(reflect.ValueOf(files[0]))
	}
}
