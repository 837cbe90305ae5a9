package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
)

// source says which part of a request a parameter is in. Its name is that of the tag.
type source string

const (
	inPath   source = "path"
	inQuery  source = "query"
	inHeader source = "header"
)

// plan is what reflection says of a request type, worked out once.
type plan struct {
	params   []param
	query    bool         // some parameter is in the query
	body     reflect.Type // pointer type that Req's pointer converts to for encoding/json, nil for no body
	required *checker     // nil where nothing is required
}

// param is one field that is not in the body.
type param struct {
	in    source
	name  string
	index []int
	codec codec
	many  bool // a slice: the query parameter may repeat
}

func newPlan(t reflect.Type, pat pattern) (*plan, error) {
	if t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("the request type %v is not a struct", t)
	}
	p := &plan{}
	fields, hasBody, err := p.scan(t, nil)
	if err != nil {
		return nil, err
	}
	if err := p.checkPath(pat); err != nil {
		return nil, err
	}
	if hasBody {
		if !slices.Contains([]string{http.MethodPost, http.MethodPut, http.MethodPatch}, pat.method) {
			return nil, fmt.Errorf("%s has no body: tag every field path, query or header", pat.method)
		}
		if p.body, err = bodyType(t, fields, len(p.params) > 0); err != nil {
			return nil, err
		}
	}
	p.required, err = newChecker(t)
	return p, err
}

// scan adds the parameters of t, which lies at index within the request type, and returns t's fields with the
// parameters hidden from encoding/json, and whether any is left for the body.
func (p *plan) scan(t reflect.Type, index []int) (fields []reflect.StructField, hasBody bool, err error) {
	for i := range t.NumField() {
		f := t.Field(i)
		at := append(slices.Clone(index), i)
		in, name, err := paramTag(f)
		switch {
		case err != nil:
			return nil, false, err
		case in != "":
			if err := p.add(f, in, name, at); err != nil {
				return nil, false, err
			}
			f.Tag = `json:"-"`
		case f.Anonymous && f.Type.Kind() == reflect.Struct && f.Tag.Get("json") == "":
			n := len(p.params)
			_, inner, err := p.scan(f.Type, at)
			if err != nil {
				return nil, false, err
			}
			if inner && len(p.params) > n {
				return nil, false, fmt.Errorf("embedded %v mixes parameters and body: split it", f.Type)
			}
			if len(p.params) > n {
				f.Tag = `json:"-"`
			}
			hasBody = hasBody || inner
		case f.Anonymous && f.Type.Kind() == reflect.Pointer && holdsParams(f.Type.Elem()):
			return nil, false, fmt.Errorf("embedded %v holds parameters: embed the struct, not a pointer", f.Type)
		case f.IsExported() && f.Tag.Get("json") != "-":
			hasBody = true
		}
		fields = append(fields, f)
	}
	return fields, hasBody, nil
}

// holdsParams reports whether t is a struct with a parameter in it.
func holdsParams(t reflect.Type) bool {
	if t.Kind() != reflect.Struct {
		return false
	}
	for i := range t.NumField() {
		if in, _, err := paramTag(t.Field(i)); in != "" || err != nil {
			return true
		}
	}
	return false
}

// paramTag returns where f's tag says that the parameter is, "" for nowhere.
func paramTag(f reflect.StructField) (in source, name string, err error) {
	for _, s := range []source{inPath, inQuery, inHeader} {
		v, ok := f.Tag.Lookup(string(s))
		switch {
		case !ok:
			continue
		case v == "":
			return "", "", fmt.Errorf("field %s: the %s tag names nothing", f.Name, s)
		case in != "":
			return "", "", fmt.Errorf("field %s: both %s and %s", f.Name, in, s)
		case !f.IsExported():
			return "", "", fmt.Errorf("field %s: a parameter must be exported", f.Name)
		}
		in, name = s, v
	}
	if in == inHeader {
		name = http.CanonicalHeaderKey(name)
	}
	return in, name, nil
}

func (p *plan) add(f reflect.StructField, in source, name string, index []int) error {
	t := f.Type
	many := in == inQuery && t.Kind() == reflect.Slice && !isText(t)
	if many {
		t = t.Elem()
	}
	c, err := newCodec(t)
	switch {
	case err != nil:
		return fmt.Errorf("field %s: %w", f.Name, err)
	case in == inPath && t.Kind() == reflect.Pointer:
		return fmt.Errorf("field %s: a path parameter is never absent: no pointer", f.Name)
	case in == inHeader && (name == "Host" || name == "Content-Type" || name == "Content-Length"):
		return fmt.Errorf("field %s: net/http keeps %s to itself", f.Name, name)
	case slices.ContainsFunc(p.params, func(q param) bool { return q.in == in && q.name == name }):
		return fmt.Errorf("field %s: %s %q is there twice", f.Name, in, name)
	}
	p.params = append(p.params, param{in: in, name: name, index: index, codec: c, many: many})
	p.query = p.query || in == inQuery
	return nil
}

// checkPath holds the path fields against the pattern's wildcards.
func (p *plan) checkPath(pat pattern) error {
	names := pat.names()
	for _, q := range p.params {
		if q.in != inPath {
			continue
		}
		i := slices.Index(names, q.name)
		if i < 0 {
			return fmt.Errorf("the pattern has no wildcard {%s}", q.name)
		}
		names = slices.Delete(names, i, i+1)
	}
	if len(names) > 0 {
		return fmt.Errorf("no field has the tag path:%q", names[0])
	}
	return nil
}

// bodyType returns the pointer type under which encoding/json sees the body's fields alone. Go converts between
// struct types that differ in their tags only, so that parameters can be hidden without a copy, and no body can set
// a field that the path or a header is to fill.
func bodyType(t reflect.Type, fields []reflect.StructField, hasParams bool) (reflect.Type, error) {
	if !hasParams {
		return reflect.PointerTo(t), nil
	}
	if p := reflect.PointerTo(t); p.Implements(reflect.TypeFor[json.Unmarshaler]()) ||
		p.Implements(reflect.TypeFor[json.Marshaler]()) {
		return nil, errors.New("a type with its own JSON methods cannot have parameters beside the body")
	}
	for _, f := range fields {
		// reflect.StructOf cannot build these.
		if f.Anonymous && (!f.IsExported() || reflect.PointerTo(f.Type).NumMethod() > 0) {
			return nil, fmt.Errorf("beside parameters and a body, embedded %v must be exported and have no methods", f.Type)
		}
	}
	return reflect.PointerTo(reflect.StructOf(fields)), nil
}

// jsonName returns f's name in a JSON object, "" where it has none.
func jsonName(f reflect.StructField) string {
	tag := f.Tag.Get("json")
	if tag == "-" {
		return ""
	}
	name, _, _ := strings.Cut(tag, ",")
	if name == "" {
		return f.Name
	}
	return name
}
