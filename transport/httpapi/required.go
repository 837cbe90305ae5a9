package httpapi

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"

	"github.com/mainstay-go/mainstay/transport"
)

// maxViolations bounds how many fields one error names.
const maxViolations = 20

// checker finds the required fields of one struct type that are zero.
type checker struct {
	fields []checkedField
}

type checkedField struct {
	index    int
	name     string // "" for an embedded struct, whose fields are its parent's
	required bool
	nested   *checker // of the struct that the field holds, directly or in pointers, slices and arrays
}

// newChecker returns nil where t requires nothing.
func newChecker(t reflect.Type) (*checker, error) {
	all := make(map[reflect.Type]*checker)
	c, err := buildChecker(t, all)
	if err != nil {
		return nil, err
	}
	// A type may hold itself, so what needs no check is known only once all are built.
	for _, c := range all {
		c.prune()
	}
	if !c.needed(make(map[*checker]bool)) {
		return nil, nil
	}
	return c, nil
}

// needed reports whether c, or what it holds, requires anything.
func (c *checker) needed(seen map[*checker]bool) bool {
	if c == nil || seen[c] {
		return false
	}
	seen[c] = true
	for _, f := range c.fields {
		if f.required || f.nested.needed(seen) {
			return true
		}
	}
	return false
}

func (c *checker) prune() {
	kept := c.fields[:0]
	for _, f := range c.fields {
		if !f.nested.needed(make(map[*checker]bool)) {
			f.nested = nil
		}
		if f.required || f.nested != nil {
			kept = append(kept, f)
		}
	}
	c.fields = kept
}

func buildChecker(t reflect.Type, all map[reflect.Type]*checker) (*checker, error) {
	if c, ok := all[t]; ok {
		return c, nil
	}
	c := &checker{}
	all[t] = c
	for i := range t.NumField() {
		f := t.Field(i)
		cf, err := checkedFieldOf(f)
		if err != nil {
			return nil, err
		}
		if !f.IsExported() && !f.Anonymous {
			continue
		}
		cf.index = i
		if inner := structIn(f.Type); inner != nil {
			if cf.nested, err = buildChecker(inner, all); err != nil {
				return nil, err
			}
		}
		c.fields = append(c.fields, cf)
	}
	return c, nil
}

func checkedFieldOf(f reflect.StructField) (cf checkedField, err error) {
	in, name, err := paramTag(f)
	if err != nil {
		return cf, err
	}
	tag, ok := f.Tag.Lookup("api")
	switch {
	case in != "":
		cf.name = name
	case !f.Anonymous || f.Tag.Get("json") != "" || ok || structIn(f.Type) == nil:
		cf.name = jsonName(f)
	}
	if ok && tag != "required" {
		return cf, fmt.Errorf("field %s: the api tag knows %q only, not %q", f.Name, "required", tag)
	}
	if ok && !f.IsExported() {
		return cf, fmt.Errorf("field %s: a required field must be exported", f.Name)
	}
	// A wildcard always matches something, and {rest...} may match nothing.
	cf.required = ok && in != inPath
	return cf, nil
}

// structIn returns the struct type that t is, or holds in pointers, slices and arrays; nil where that is none, or one
// that reads itself.
func structIn(t reflect.Type) reflect.Type {
	for {
		if isText(t) || reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
			return nil
		}
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Array:
			t = t.Elem()
		case reflect.Struct:
			return t
		default:
			return nil
		}
	}
}

// step is one part of the way to a value, kept as a list: its text is needed for violations alone.
type step struct {
	up    *step
	name  string
	index int // of a slice, where name is ""
}

// to returns the step from s to a field, s itself for an embedded one.
func (s *step) to(name string) *step {
	if name == "" {
		return s
	}
	return &step{up: s, name: name}
}

func (s *step) String() string {
	if s == nil {
		return ""
	}
	if s.name == "" {
		return s.up.String() + "[" + strconv.Itoa(s.index) + "]"
	}
	if s.up == nil {
		return s.name
	}
	return s.up.String() + "." + s.name
}

// check appends a violation for each required field of v that is zero.
func (c *checker) check(v reflect.Value, at *step, out []transport.FieldViolation) []transport.FieldViolation {
	for _, f := range c.fields {
		fv := v.Field(f.index)
		if f.required && fv.IsZero() {
			if len(out) == maxViolations {
				return out
			}
			out = append(out, transport.FieldViolation{Field: at.to(f.name).String(), Description: "is required"})
			continue
		}
		if f.nested != nil {
			out = f.nested.descend(fv, at.to(f.name), out)
		}
	}
	return out
}

// descend finds the structs in v.
func (c *checker) descend(v reflect.Value, at *step, out []transport.FieldViolation) []transport.FieldViolation {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return out
		}
		return c.descend(v.Elem(), at, out)
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if len(out) == maxViolations {
				break
			}
			out = c.descend(v.Index(i), &step{up: at, index: i}, out)
		}
		return out
	}
	return c.check(v, at, out)
}
