package httpapi

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// inspector walks through a JSON value, which is valid, beside the schema that it is for, and finds what encoding/json
// does not tell: every member of another type where that names the first one, and what a strict endpoint refuses.
type inspector struct {
	data   []byte
	pos    int
	strict bool // report members that are not known, and those that are there twice
	types  bool // report values of another type
	out    *violations
	cut    bool // a type that reads itself has refused its value, where encoding/json stops
}

// value moves behind the value at pos.
func (in *inspector) value(s *schema) {
	in.space()
	switch c := in.data[in.pos]; {
	case s == nil || c == 'n': // null is zero for every type
		in.skip()
	case s.shape == object && c == '{':
		in.object(func(name string, twice bool) *schema { return in.member(s, name, twice) })
	case s.shape == table && c == '{':
		in.object(func(_ string, twice bool) *schema {
			in.refuseTwice(twice)
			return s.elem
		})
	case s.shape == list && c == '[':
		in.list(s.elem)
	default:
		start := in.pos
		in.skip()
		if in.types {
			in.leaf(s, in.data[start:in.pos])
		}
	}
}

// object asks of what schema each member is, while the member is the one that is looked at.
func (in *inspector) object(schemaOf func(name string, twice bool) *schema) {
	var seen map[string]bool
	if in.strict {
		seen = make(map[string]bool)
	}
	in.pos++
	for {
		in.space()
		switch in.data[in.pos] {
		case '}':
			in.pos++
			return
		case ',':
			in.pos++
			continue
		}
		name := in.name()
		in.out.enter(name)
		s := schemaOf(name, seen[name])
		if in.strict {
			seen[name] = true
		}
		in.space()
		in.pos++ // the colon
		in.value(s)
		in.out.leave()
	}
}

func (in *inspector) member(s *schema, name string, twice bool) *schema {
	in.refuseTwice(twice)
	m, ok := s.byName[name]
	switch {
	case ok:
		return m.schema
	case in.strict:
		in.out.addHere("is not known")
		return nil
	}
	for _, m := range s.members { // as encoding/json does
		if strings.EqualFold(m.name, name) {
			return m.schema
		}
	}
	return nil
}

func (in *inspector) refuseTwice(twice bool) {
	if twice {
		in.out.addHere("is there twice")
	}
}

func (in *inspector) list(elem *schema) {
	in.pos++
	for i := 0; ; i++ {
		in.space()
		switch in.data[in.pos] {
		case ']':
			in.pos++
			return
		case ',':
			in.pos++
		}
		in.out.enterItem(i)
		in.value(elem)
		in.out.leave()
	}
}

// leaf asks encoding/json about a value that has no parts to go on with.
func (in *inspector) leaf(s *schema, raw []byte) {
	typ, words := s.typ, inWords(s.typ)
	if s.quoted != nil {
		typ, words = s.quoted, "a string that holds "+words
		raw = slices.Concat([]byte(`{"v":`), raw, []byte("}"))
	}
	if json.Unmarshal(raw, reflect.New(typ).Interface()) == nil {
		return
	}
	if readsItself(s.typ) {
		in.cut = true
		in.out.addHere("is malformed")
		return
	}
	in.out.addHere("must be " + words)
}

// inWords says what a value of t is in JSON.
func inWords(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		most := int64(1)<<(t.Bits()-1) - 1
		return fmt.Sprintf("an integer from %d to %d", -most-1, most)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return fmt.Sprintf("an integer from 0 to %d", ^uint64(0)>>(64-t.Bits()))
	case reflect.Float32:
		return "a number from -3.4e38 to 3.4e38"
	case reflect.Float64:
		return "a number from -1.7e308 to 1.7e308"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Slice, reflect.Array:
		if isList(t) {
			return "an array"
		}
		return "a string in base64"
	}
	return "of another type"
}

// name reads a member's name.
func (in *inspector) name() string {
	start := in.pos
	in.skip()
	raw := in.data[start:in.pos]
	var name string
	if json.Unmarshal(raw, &name) != nil {
		return string(raw) // which cannot be: it is valid
	}
	return name
}

func (in *inspector) space() {
	for strings.IndexByte(" \t\r\n", in.data[in.pos]) >= 0 {
		in.pos++
	}
}

// skip moves behind the value at pos.
func (in *inspector) skip() {
	depth := 0
	for in.pos < len(in.data) {
		switch in.data[in.pos] {
		case '"':
			in.skipString()
		case '{', '[':
			depth++
			in.pos++
		case '}', ']':
			depth--
			in.pos++
		case ',', ':', ' ', '\t', '\r', '\n':
			in.pos++
		default:
			in.skipWord()
		}
		if depth == 0 {
			return
		}
	}
}

func (in *inspector) skipString() {
	for in.pos++; in.data[in.pos] != '"'; in.pos++ {
		if in.data[in.pos] == '\\' {
			in.pos++
		}
	}
	in.pos++
}

// skipWord moves behind a number, true, false or null.
func (in *inspector) skipWord() {
	for in.pos < len(in.data) && strings.IndexByte(",:]} \t\r\n", in.data[in.pos]) < 0 {
		in.pos++
	}
}
