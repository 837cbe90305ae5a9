package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
)

// source says which part of a request a parameter is in. It is the key of the tag.
type source string

const (
	inPath   source = "path"
	inQuery  source = "query"
	inHeader source = "header"
	inCookie source = "cookie"
	inForm   source = "form"
	inBody   source = "body"
)

// param is one field that has a name of its own on the wire: in the path, the query, a header, a cookie or a form.
type param struct {
	in       source
	name     string
	index    []int
	codec    codec
	many     bool // a slice: it may repeat
	file     kindOfFile
	required bool
	rules    rules
	defaults []string // what an absent one is, nil for zero
}

func (p *plan) add(t reflect.Type, f reflect.StructField, in source, name string, index []int) error {
	q, err := newParam(f, in, name, index)
	if err == nil && p.has(in, name) {
		err = fmt.Errorf("there is another field for %s %q", in, name)
	}
	if err != nil {
		return mistake(t, f, "%w", err)
	}
	p.params = append(p.params, q)
	p.query = p.query || in == inQuery
	p.files = p.files || q.file != noFile
	if in == inForm {
		return p.setBody(t, f, formBody)
	}
	return nil
}

var (
	errPathPointer = errors.New("is never absent: no pointer, and no default")
	errKept        = errors.New("is net/http's own header")
	errCookieName  = errors.New("is no cookie name")
)

func newParam(f reflect.StructField, in source, name string, index []int) (q param, err error) {
	q = param{in: in, name: name, index: index}
	t := f.Type
	if (in == inQuery || in == inForm) && isList(t) && t.Kind() == reflect.Slice {
		q.many, t = true, t.Elem()
	}
	def, hasDefault := f.Tag.Lookup("default")
	switch {
	case in == inPath && (t.Kind() == reflect.Pointer && !isText(t) || hasDefault):
		return q, errPathPointer
	case in == inHeader && slices.Contains([]string{"Host", "Content-Length", "Cookie", "Transfer-Encoding"}, name):
		return q, errKept
	case in == inCookie && !isToken(name):
		return q, errCookieName
	case in == inForm && isFile(t):
		q.file = kindOf(q.many)
	default:
		if q.codec, err = newCodec(t); err != nil {
			return q, err
		}
	}
	if q.required, err = requiredTag(f); err != nil {
		return q, err
	}
	q.required = q.required && in != inPath // a wildcard always matches something, and {rest...} may match nothing
	if q.rules, err = newRules(f); err != nil || !hasDefault {
		return q, err
	}
	return q, q.setDefault(f, def)
}

// setDefault checks the default as a request's value would be.
func (q *param) setDefault(f reflect.StructField, def string) error {
	q.defaults = []string{def}
	if q.many {
		q.defaults = strings.Split(def, ",")
	}
	if q.required || q.file != noFile {
		return errors.New("has no default: it is required, or a file")
	}
	var bad violations
	q.fill(reflect.New(f.Type).Elem(), nil, &bad)
	if len(bad.list) > 0 {
		return fmt.Errorf("default:%q %s", def, bad.list[0].Description)
	}
	return nil
}

// isToken reports whether s is a token of RFC 9110, section 5.6.2, as the name of a cookie has to be.
func isToken(s string) bool {
	for i := range len(s) {
		if !isAlphanumeric(s[i]) && strings.IndexByte("!#$%&'*+-.^_`|~", s[i]) < 0 {
			return false
		}
	}
	return s != ""
}

const once = "must be there once"

// fill sets v, the parameter's field, from the values that came, and reports what is wrong with them. Where none came
// v is the default, and is not held against the rules.
func (q *param) fill(v reflect.Value, values []string, out *violations) {
	before, came := len(out.list), len(values) > 0
	if !came {
		values = q.defaults
	}
	switch {
	case len(values) == 0:
	case q.many:
		q.fillMany(v, values, out)
	case len(values) > 1:
		out.add(q.name, once)
		return
	default:
		q.fillOne(v, values[0], out)
	}
	switch {
	case len(out.list) > before:
	case q.required && v.IsZero():
		out.add(q.name, isRequired)
	case (came || q.defaults != nil) && !q.rules.empty():
		q.rules.check(v, out, q.name)
	}
}

func (q *param) fillOne(v reflect.Value, s string, out *violations) {
	if err := q.codec.set(v, s); err != nil {
		out.add(q.name, err.Error())
	}
}

func (q *param) fillMany(v reflect.Value, values []string, out *violations) {
	v.Set(reflect.MakeSlice(v.Type(), len(values), len(values)))
	for i, s := range values {
		if err := q.codec.set(v.Index(i), s); err != nil {
			out.add(q.name, err.Error())
			return
		}
	}
}

// field returns the parameter's field in a request.
func (q *param) field(v reflect.Value) reflect.Value {
	if len(q.index) == 1 {
		return v.Field(q.index[0])
	}
	return v.FieldByIndex(q.index)
}

// values returns what r has of the parameter outside of its body.
func (q *param) values(r *http.Request, query map[string][]string) []string {
	switch q.in {
	case inQuery:
		return query[q.name]
	case inHeader:
		return r.Header[q.name]
	case inCookie:
		var values []string
		for _, c := range r.CookiesNamed(q.name) {
			values = append(values, c.Value)
		}
		return values
	}
	return nil
}
