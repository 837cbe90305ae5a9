package httpapi

import (
	"encoding"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// schema is what a type is in JSON, and what its values must be. It is made once, when an endpoint is declared.
type schema struct {
	typ     reflect.Type // no pointer
	shape   shape
	elem    *schema            // of a list or a table
	members []*member          // of an object
	byName  map[string]*member // the same
	checked []*member          // those of members that have something to check, in them or below
	checks  bool               // it has something to check, in it or below
	quoted  reflect.Type       // of a leaf in a string: a struct with the one member "v" of that form, else nil
}

type shape uint8

const (
	leaf   shape = iota // what encoding/json alone understands
	object              // a struct
	list                // a slice or an array
	table               // a map
)

// member is one member of an object.
type member struct {
	name     string
	index    []int
	omit     bool // zero is absent, and is not checked: omitempty or omitzero
	text     bool // a number, a boolean or a string in a string
	required bool
	rules    rules
	schema   *schema
	depth    int  // of embedding
	tagged   bool // its name is a tag's
}

// readsItself reports whether t has methods of its own for its form in JSON.
func readsItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(reflect.TypeFor[json.Unmarshaler]()) || p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// newSchema returns the schema of t, whose parameters, named by skip, are not in JSON.
func newSchema(t reflect.Type, skip func(reflect.StructField) bool) (*schema, error) {
	all := make(map[reflect.Type]*schema)
	s, err := buildSchema(t, all, skip)
	if err != nil {
		return nil, err
	}
	// A type may hold itself: what has something to check spreads until nothing changes.
	for changed := true; changed; {
		changed = false
		for _, s := range all {
			changed = s.mark() || changed
		}
	}
	return s, nil
}

func buildSchema(t reflect.Type, all map[reflect.Type]*schema, skip func(reflect.StructField) bool) (*schema, error) {
	t = baseType(t)
	if s, ok := all[t]; ok {
		return s, nil
	}
	s := &schema{typ: t}
	all[t] = s
	if readsItself(t) {
		return s, nil
	}
	var err error
	switch {
	case t.Kind() == reflect.Struct:
		s.shape = object
		err = s.addFields(t, nil, all, skip)
		s.settle()
	case isList(t):
		s.shape = list
		s.elem, err = buildSchema(t.Elem(), all, nil)
	case t.Kind() == reflect.Map:
		s.shape = table
		s.elem, err = buildSchema(t.Elem(), all, nil)
	}
	return s, err
}

// addFields adds the fields of t, which is embedded at index, as encoding/json sees them.
func (s *schema) addFields(t reflect.Type, index []int, all map[reflect.Type]*schema,
	skip func(reflect.StructField) bool) error {
	for i := range t.NumField() {
		f := t.Field(i)
		at := append(slices.Clone(index), i)
		tag := f.Tag.Get("json")
		inner := baseType(f.Type)
		switch {
		case skip != nil && skip(f), tag == "-":
			continue
		case f.Anonymous && tagName(tag) == "" && inner.Kind() == reflect.Struct:
			// A type that embeds itself has nothing new at the second depth.
			if slices.ContainsFunc(embedders(s.typ, at), func(e reflect.Type) bool { return e == inner }) {
				continue
			}
			if err := s.addFields(inner, at, all, skip); err != nil {
				return err
			}
			continue
		case !f.IsExported():
			if f.Tag.Get("api") != "" {
				return mistake(t, f, "is not exported")
			}
			continue
		}
		m, err := newMember(t, f, at)
		if err != nil {
			return err
		}
		if m.schema, err = buildSchema(f.Type, all, nil); err != nil {
			return err
		}
		if m.text {
			m.schema = quotedSchema(f.Type)
		}
		s.members = append(s.members, m)
	}
	return nil
}

// embedders returns the struct types on the way along index, from t on.
func embedders(t reflect.Type, index []int) []reflect.Type {
	way := []reflect.Type{t}
	for _, i := range index[:len(index)-1] {
		t = baseType(t.Field(i).Type)
		way = append(way, t)
	}
	return way
}

func newMember(t reflect.Type, f reflect.StructField, index []int) (*member, error) {
	name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
	m := &member{name: name, index: index, depth: len(index), tagged: name != ""}
	if name == "" {
		m.name = f.Name
	}
	for option := range strings.SplitSeq(options, ",") {
		m.omit = m.omit || option == "omitempty" || option == "omitzero"
		m.text = m.text || option == "string" && canBeQuoted(baseType(f.Type).Kind())
	}
	var err error
	if m.required, err = requiredTag(f); err != nil {
		return nil, mistake(t, f, "%w", err)
	}
	if m.rules, err = newRules(f); err != nil {
		return nil, mistake(t, f, "%w", err)
	}
	return m, nil
}

// canBeQuoted reports whether encoding/json heeds the option string for values of that kind.
func canBeQuoted(k reflect.Kind) bool {
	return k == reflect.String || k >= reflect.Bool && k <= reflect.Float64
}

// quotedSchema leaves what such a string may hold to encoding/json.
func quotedSchema(t reflect.Type) *schema {
	return &schema{typ: baseType(t), quoted: reflect.StructOf([]reflect.StructField{
		{Name: "V", Type: t, Tag: `json:"v,string"`},
	})}
}

func tagName(tag string) string {
	name, _, _ := strings.Cut(tag, ",")
	return name
}

func requiredTag(f reflect.StructField) (bool, error) {
	tag, ok := f.Tag.Lookup("api")
	if ok && tag != "required" {
		return false, fmt.Errorf("the api tag knows %q only", "required")
	}
	return ok, nil
}

// mistake says what is wrong with a field's declaration, in the words of the file that it stands in.
func mistake(t reflect.Type, f reflect.StructField, text string, args ...any) error {
	tag := ""
	if f.Tag != "" {
		tag = " `" + string(f.Tag) + "`"
	}
	return fmt.Errorf("%v.%s%s: %w", t, f.Name, tag, fmt.Errorf(text, args...))
}

// settle keeps of several members of one name the one that encoding/json takes: the least embedded, there the tagged
// one, and none where that leaves two.
func (s *schema) settle() {
	s.byName = make(map[string]*member, len(s.members))
	twice := make(map[string]bool)
	better := func(a, b *member) bool { return a.depth < b.depth || a.depth == b.depth && a.tagged && !b.tagged }
	for _, m := range s.members {
		old, ok := s.byName[m.name]
		switch {
		case !ok || better(m, old):
			s.byName[m.name], twice[m.name] = m, false
		case !better(old, m):
			twice[m.name] = true
		}
	}
	maps.DeleteFunc(s.byName, func(name string, _ *member) bool { return twice[name] })
	s.members = slices.DeleteFunc(s.members, func(m *member) bool { return s.byName[m.name] != m })
}

// mark notes what has something to check, and reports whether that is news.
func (s *schema) mark() bool {
	n := len(s.checked)
	s.checked = s.checked[:0]
	for _, m := range s.members {
		if m.required || !m.rules.empty() || m.schema.checks {
			s.checked = append(s.checked, m)
		}
	}
	was := s.checks
	s.checks = len(s.checked) > 0 || s.elem != nil && s.elem.checks
	return s.checks != was || len(s.checked) != n
}

// check reports what is wrong with v, a value of the schema's type or a pointer to one. A nil pointer is absent: what
// requires it has seen to that.
func (s *schema) check(v reflect.Value, out *violations) {
	v, ok := pointee(v)
	if !ok || !s.checks {
		return
	}
	switch s.shape {
	case object:
		for _, m := range s.checked {
			m.check(v, out)
		}
	case list:
		for i := 0; i < v.Len() && !out.full(); i++ {
			out.enterItem(i)
			s.elem.check(v.Index(i), out)
			out.leave()
		}
	case table:
		s.checkTable(v, out)
	}
}

// checkTable goes by the order of the keys, so that the same request gets the same answer.
func (s *schema) checkTable(v reflect.Value, out *violations) {
	keys := make(map[string]reflect.Value, v.Len())
	for it := v.MapRange(); it.Next(); {
		keys[fmt.Sprint(it.Key())] = it.Value()
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if out.full() {
			return
		}
		out.enter(key)
		s.elem.check(keys[key], out)
		out.leave()
	}
}

func (m *member) check(parent reflect.Value, out *violations) {
	v, ok := m.value(parent)
	absent := !ok || m.omit && isAbsent(v)
	if absent && !m.required {
		return
	}
	missing := absent || m.required && v.IsZero()
	if !missing && !m.schema.checks && m.rules.hold(v) {
		return // without a word of where it is: nearly every member of nearly every request
	}
	out.enter(m.name)
	switch {
	case missing:
		out.addHere(isRequired)
	default:
		m.rules.check(v, out, "")
		m.schema.check(v, out)
	}
	out.leave()
}

const isRequired = "is required"

// value returns the member's value, false where it lies in an embedded pointer that is nil.
func (m *member) value(parent reflect.Value) (reflect.Value, bool) {
	if len(m.index) == 1 {
		return parent.Field(m.index[0]), true
	}
	v, err := parent.FieldByIndexErr(m.index)
	return v, err == nil
}

// isAbsent reports whether omitempty or omitzero leave v out.
func isAbsent(v reflect.Value) bool {
	if k := v.Kind(); k == reflect.Slice || k == reflect.Map {
		return v.Len() == 0
	}
	return v.IsZero()
}
