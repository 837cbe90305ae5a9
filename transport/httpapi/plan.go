package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
)

// plan is what reflection says of a request type, worked out once.
type plan struct {
	params []param
	query  bool         // some parameter is in the query
	body   bodyKind     // what the body is
	json   reflect.Type // pointer type that Req's pointer converts to for encoding/json, where the body is JSON
	schema *schema      // of the JSON body
	raw    *rawBody     // of a body that is read as it is
	files  bool         // the form holds a file, and so is a multipart form
}

type bodyKind uint8

const (
	noBody bodyKind = iota
	jsonBody
	formBody
	rawBodyKind
)

func newPlan(t reflect.Type, pat pattern) (*plan, error) {
	if t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("the request type %v is not a struct", t)
	}
	p := &plan{}
	fields, err := p.scan(t, nil)
	if err != nil {
		return nil, err
	}
	if err := p.checkPath(t, pat); err != nil {
		return nil, err
	}
	if p.body != noBody && !slices.Contains([]string{http.MethodPost, http.MethodPut, http.MethodPatch}, pat.method) {
		return nil, fmt.Errorf("%s has no body: tag every field of %v path, query, header or cookie", pat.method, t)
	}
	if p.body != rawBodyKind && p.has(inHeader, "Content-Type") {
		return nil, fmt.Errorf("%v has header:%q, which is for a body that is read as it is", t, "Content-Type")
	}
	if p.body == jsonBody {
		if p.json, err = bodyType(t, fields, len(p.params) > 0); err != nil {
			return nil, err
		}
		if p.schema, err = newSchema(t, isParam); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *plan) has(in source, name string) bool {
	return slices.ContainsFunc(p.params, func(q param) bool { return q.in == in && q.name == name })
}

// scan adds the parameters of t, which lies at index within the request type, and returns t's fields with the
// parameters hidden from encoding/json.
func (p *plan) scan(t reflect.Type, index []int) (fields []reflect.StructField, err error) {
	for i := range t.NumField() {
		f := t.Field(i)
		at := append(slices.Clone(index), i)
		in, name, err := paramTag(f)
		switch {
		case err != nil:
			return nil, mistake(t, f, "%w", err)
		case in == inBody:
			err = p.setRaw(t, f, name, at)
		case in != "":
			err = p.add(t, f, in, name, at)
			f.Tag = `json:"-"`
		case f.Anonymous && f.Type.Kind() == reflect.Struct && f.Tag.Get("json") == "":
			err = p.embed(t, &f, at)
		case f.Anonymous && f.Type.Kind() == reflect.Pointer && holdsParams(f.Type.Elem()):
			err = mistake(t, f, "holds parameters: embed the struct, not a pointer")
		case !f.IsExported() && f.Tag.Get("api") != "":
			err = mistake(t, f, "%w", errUnexported)
		case f.IsExported() && f.Tag.Get("json") != "-":
			err = p.setBody(t, f, jsonBody)
		}
		if err != nil {
			return nil, err
		}
		fields = append(fields, f)
	}
	return fields, nil
}

// embed scans an embedded struct, which has either parameters or members of the body.
func (p *plan) embed(t reflect.Type, f *reflect.StructField, at []int) error {
	if !holdsParams(f.Type) {
		_, err := p.scan(f.Type, at)
		return err
	}
	before := p.body
	if _, err := p.scan(f.Type, at); err != nil {
		return err
	}
	if holdsJSON(f.Type) {
		p.body = before
		return mistake(t, *f, "mixes parameters and body: split it")
	}
	f.Tag = `json:"-"`
	return nil
}

// holdsParams reports whether t is a struct with a parameter in it.
func holdsParams(t reflect.Type) bool { return holds(t, isParam) }

// holdsJSON reports whether t is a struct with a member of a JSON body in it.
func holdsJSON(t reflect.Type) bool {
	return holds(t, func(f reflect.StructField) bool {
		return !isParam(f) && f.IsExported() && f.Tag.Get("json") != "-" &&
			(!f.Anonymous || f.Type.Kind() != reflect.Struct || f.Tag.Get("json") != "")
	})
}

// holds asks the fields of t, and of the structs that it embeds.
func holds(t reflect.Type, is func(reflect.StructField) bool) bool {
	if t.Kind() != reflect.Struct {
		return false
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if is(f) || f.Anonymous && f.Type.Kind() == reflect.Struct && holds(f.Type, is) {
			return true
		}
	}
	return false
}

// setBody notes what the body is, of which there is one kind.
func (p *plan) setBody(t reflect.Type, f reflect.StructField, kind bodyKind) error {
	if p.body != noBody && p.body != kind {
		return mistake(t, f, "a body is JSON, a form, or one field as it is, not two of these")
	}
	p.body = kind
	return nil
}

// checkPath holds the path fields against the pattern's wildcards.
func (p *plan) checkPath(t reflect.Type, pat pattern) error {
	names := pat.names()
	for _, q := range p.params {
		if q.in != inPath {
			continue
		}
		i := slices.Index(names, q.name)
		if i < 0 {
			return fmt.Errorf("%v has path:%q, and the pattern no wildcard {%s}", t, q.name, q.name)
		}
		names = slices.Delete(names, i, i+1)
	}
	if len(names) > 0 {
		return fmt.Errorf("the pattern has {%s}, and no field of %v path:%q", names[0], t, names[0])
	}
	return nil
}

// bodyType returns the pointer type under which encoding/json sees the body's fields alone. Go converts between
// struct types that differ in their tags only, so that parameters can be hidden without a copy, and no body can set
// a field that the path or a header is to fill.
func bodyType(t reflect.Type, fields []reflect.StructField, hides bool) (reflect.Type, error) {
	if !hides {
		return reflect.PointerTo(t), nil
	}
	if p := reflect.PointerTo(t); p.Implements(reflect.TypeFor[json.Unmarshaler]()) ||
		p.Implements(reflect.TypeFor[json.Marshaler]()) {
		return nil, fmt.Errorf("%v: a type with its own JSON methods has no fields beside the body", t)
	}
	for _, f := range fields {
		// reflect.StructOf cannot build these.
		if f.Anonymous && (!f.IsExported() || reflect.PointerTo(f.Type).NumMethod() > 0) {
			return nil, mistake(t, f, "is embedded beside parameters and a body, so it must be exported and have no methods")
		}
	}
	hidden := reflect.PointerTo(reflect.StructOf(fields))
	if !reflect.PointerTo(t).ConvertibleTo(hidden) {
		return nil, fmt.Errorf("%v cannot be seen without its parameters", t)
	}
	return hidden, nil
}

// as returns the pointer v as one of type t, to which it can be converted: bodyType has seen to it. reflect's own
// Convert compares all fields of the two types, each time.
func as(v reflect.Value, t reflect.Type) any {
	return reflect.NewAt(t.Elem(), v.UnsafePointer()).Interface()
}

var (
	errNoName     = errors.New("names nothing")
	errUnexported = errors.New("is not exported")
)

// paramTag returns where f's tag says that the parameter is, "" for nowhere.
func paramTag(f reflect.StructField) (in source, name string, err error) {
	for _, s := range []source{inPath, inQuery, inHeader, inCookie, inForm, inBody} {
		v, ok := f.Tag.Lookup(string(s))
		switch {
		case !ok:
			continue
		case v == "":
			return "", "", fmt.Errorf("%s %w", s, errNoName)
		case in != "":
			return "", "", fmt.Errorf("is in two places, %s and %s", in, s)
		case !f.IsExported():
			return "", "", errUnexported
		}
		in, name = s, v
	}
	if in == inHeader {
		name = http.CanonicalHeaderKey(name)
	}
	return in, name, nil
}

// isParam reports whether f is no member of a JSON body.
func isParam(f reflect.StructField) bool {
	in, _, _ := paramTag(f)
	return in != "" || f.Anonymous && f.Type.Kind() == reflect.Struct && f.Tag.Get("json") == "" && holdsParams(f.Type)
}
