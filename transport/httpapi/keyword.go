package httpapi

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// rule is one keyword of a field, ready to be held against values of the field's type.
type rule struct {
	holds func(v reflect.Value) bool
	says  string // what is wrong where it does not hold
}

// keyword is one of JSON Schema's validation vocabulary (2020-12, section 6), which a struct tag may have.
type keyword struct {
	name string
	list bool // it is about a list, not about its items
	rule func(t reflect.Type, arg string) (rule, error)
}

// keywords are in the order in which violations of one value are reported.
var keywords = []keyword{
	{"minLength", false, lengthRule(atLeast, "must be at least %d characters long")},
	{"maxLength", false, lengthRule(atMost, "must be at most %d characters long")},
	{"pattern", false, patternRule},
	{"format", false, formatRule},
	{"enum", false, enumRule},
	{"minimum", false, numberRule(func(c int) bool { return c >= 0 }, "must be at least %s")},
	{"maximum", false, numberRule(func(c int) bool { return c <= 0 }, "must be at most %s")},
	{"exclusiveMinimum", false, numberRule(func(c int) bool { return c > 0 }, "must be more than %s")},
	{"exclusiveMaximum", false, numberRule(func(c int) bool { return c < 0 }, "must be less than %s")},
	{"minItems", true, itemsRule(func(n, bound int) bool { return n >= bound }, "must have at least %d items")},
	{"maxItems", true, itemsRule(func(n, bound int) bool { return n <= bound }, "must have at most %d items")},
	{"uniqueItems", true, uniqueRule},
}

// notKeywords are tags that would be taken for a check that nobody makes.
var notKeywords = []string{
	"required", "multipleOf", "const", "minProperties", "maxProperties", "contains", "minContains", "maxContains",
	"dependentRequired",
}

// rules are the keywords of one field: those of the list that it is, and those of a single value.
type rules struct {
	list, value []rule
}

func (r *rules) empty() bool { return len(r.list) == 0 && len(r.value) == 0 }

// hold reports whether v, which is of the field's type, breaks none of the rules. What a nil pointer lacks breaks none.
func (r *rules) hold(v reflect.Value) bool {
	v, ok := pointee(v)
	return !ok || keeps(v, r.list) && r.holdValues(v)
}

// holdValues descends to the values that are no lists.
func (r *rules) holdValues(v reflect.Value) bool {
	if len(r.value) == 0 {
		return true
	}
	v, ok := pointee(v)
	switch {
	case !ok:
		return true
	case !isSequence(v):
		return keeps(v, r.value)
	}
	for i := range v.Len() {
		if !r.holdValues(v.Index(i)) {
			return false
		}
	}
	return true
}

func keeps(v reflect.Value, rs []rule) bool {
	for i := range rs {
		if !rs[i].holds(v) {
			return false
		}
	}
	return true
}

// isSequence reports whether v is a list, for rules that are for strings and numbers.
func isSequence(v reflect.Value) bool { return v.Kind() == reflect.Slice || v.Kind() == reflect.Array }

// newRules reads the keywords of f, which is of type t.
func newRules(f reflect.StructField) (r rules, err error) {
	if err := checkTagKeys(f.Tag); err != nil {
		return r, err
	}
	list := baseType(f.Type)
	value := list
	for isList(value) {
		value = baseType(value.Elem())
	}
	for _, k := range keywords {
		arg, ok := f.Tag.Lookup(k.name)
		if !ok {
			continue
		}
		t := value
		if k.list {
			t = list
		}
		made, err := k.rule(t, arg)
		if err != nil {
			return r, fmt.Errorf("%s:%q %w", k.name, arg, err)
		}
		if k.list {
			r.list = append(r.list, made)
		} else {
			r.value = append(r.value, made)
		}
	}
	return r, nil
}

// baseType returns what the pointer type t points to, t itself where it is none.
func baseType(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

// isList reports whether a value of type t is an array in JSON: a []byte is a string there.
func isList(t reflect.Type) bool {
	return (t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8 || t.Kind() == reflect.Array) && !readsItself(t)
}

// checkTagKeys refuses what looks like a keyword and is none.
func checkTagKeys(tag reflect.StructTag) error {
	for _, key := range tagKeys(tag) {
		for _, k := range keywords {
			if strings.EqualFold(key, k.name) && key != k.name {
				return fmt.Errorf("%s is spelled %s", key, k.name)
			}
		}
		for _, name := range notKeywords {
			if strings.EqualFold(key, name) {
				return fmt.Errorf("%s is not supported, and would not be checked", key)
			}
		}
	}
	return nil
}

// tagKeys returns the keys of a tag of the conventional form.
func tagKeys(tag reflect.StructTag) (keys []string) {
	rest := string(tag)
	for {
		key, after, ok := strings.Cut(strings.TrimLeft(rest, " "), `:"`)
		if !ok {
			return keys
		}
		keys = append(keys, key)
		quoted, err := strconv.QuotedPrefix(`"` + after)
		if err != nil {
			return keys
		}
		rest = after[len(quoted)-1:]
	}
}

// check reports the rules that v breaks. Where v is a parameter, field names it; in a body, where it lies says so.
func (r *rules) check(v reflect.Value, out *violations, field string) {
	v, ok := pointee(v)
	if !ok {
		return
	}
	report(r.list, v, out, field)
	if len(r.value) > 0 {
		r.checkValues(v, out, field)
	}
}

// checkValues is holdValues with a report.
func (r *rules) checkValues(v reflect.Value, out *violations, field string) {
	v, ok := pointee(v)
	if !ok {
		return
	}
	if !isSequence(v) {
		report(r.value, v, out, field)
		return
	}
	for i := 0; i < v.Len() && !out.full(); i++ {
		out.enterItem(i)
		r.checkValues(v.Index(i), out, field)
		out.leave()
	}
}

// pointee returns what v points to, v itself where it is no pointer, and false at a nil.
func pointee(v reflect.Value) (reflect.Value, bool) {
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return v, false
		}
		v = v.Elem()
	}
	return v, true
}

func report(rs []rule, v reflect.Value, out *violations, field string) {
	for i := range rs {
		switch {
		case rs[i].holds(v):
		case field != "":
			out.add(field, rs[i].says)
		default:
			out.addHere(rs[i].says)
		}
	}
}

var (
	errForString = errors.New("is for strings")
	errForNumber = errors.New("is for numbers")
	errForList   = errors.New("is for slices and arrays")
	errCount     = errors.New("is no integer of 0 or more")
)

// isString reports whether values of t are plain strings: a type that reads itself has rules of its own.
func isString(t reflect.Type) bool { return t.Kind() == reflect.String && !readsItself(t) }

// lengthRule counts characters as RFC 8259 does: code points.
// atLeast reports whether s has n characters or more. A character has one to four bytes: few texts have to be counted.
func atLeast(s string, n int) bool {
	return len(s) > utf8.UTFMax*(n-1) || utf8.RuneCountInString(s) >= n
}

// atMost reports whether s has n characters or fewer.
func atMost(s string, n int) bool { return len(s) <= n || utf8.RuneCountInString(s) <= n }

func lengthRule(fits func(s string, bound int) bool, says string) func(reflect.Type, string) (rule, error) {
	return func(t reflect.Type, arg string) (rule, error) {
		bound, err := strconv.ParseUint(arg, 10, 31)
		switch {
		case !isString(t):
			return rule{}, errForString
		case err != nil:
			return rule{}, errCount
		}
		n := int(bound)
		return rule{
			holds: func(v reflect.Value) bool { return fits(v.String(), n) },
			says:  fmt.Sprintf(says, n),
		}, nil
	}
}

func patternRule(t reflect.Type, arg string) (rule, error) {
	if !isString(t) {
		return rule{}, errForString
	}
	re, err := regexp.Compile(arg)
	if err != nil {
		return rule{}, fmt.Errorf("is no regular expression: %w", err)
	}
	return rule{
		holds: func(v reflect.Value) bool { return re.MatchString(v.String()) },
		says:  "must match " + arg,
	}, nil
}

// enumRule takes the values with a comma between them.
func enumRule(t reflect.Type, arg string) (rule, error) {
	names := strings.Split(arg, ",")
	says := "must be one of " + strings.Join(names, ", ")
	if isString(t) {
		return rule{func(v reflect.Value) bool { return slices.Contains(names, v.String()) }, says}, nil
	}
	var equal []func(reflect.Value) int
	for _, name := range names {
		c, err := comparison(t, name)
		if err != nil {
			return rule{}, err
		}
		equal = append(equal, c)
	}
	return rule{
		holds: func(v reflect.Value) bool {
			return slices.ContainsFunc(equal, func(c func(reflect.Value) int) bool { return c(v) == 0 })
		},
		says: says,
	}, nil
}

func numberRule(fits func(c int) bool, says string) func(reflect.Type, string) (rule, error) {
	return func(t reflect.Type, arg string) (rule, error) {
		c, err := comparison(t, arg)
		if err != nil {
			return rule{}, err
		}
		return rule{func(v reflect.Value) bool { return fits(c(v)) }, fmt.Sprintf(says, arg)}, nil
	}
}

// comparison returns how values of t, a kind of number, compare to the one that arg names.
func comparison(t reflect.Type, arg string) (func(reflect.Value) int, error) {
	if readsItself(t) {
		return nil, errForNumber
	}
	switch t.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(arg, 10, t.Bits())
		return func(v reflect.Value) int { return cmp.Compare(v.Int(), n) }, notA(t, err)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n, err := strconv.ParseUint(arg, 10, t.Bits())
		return func(v reflect.Value) int { return cmp.Compare(v.Uint(), n) }, notA(t, err)
	case reflect.Float32, reflect.Float64:
		n, err := strconv.ParseFloat(arg, t.Bits())
		if n != n {
			err = strconv.ErrSyntax
		}
		return func(v reflect.Value) int { return cmp.Compare(v.Float(), n) }, notA(t, err)
	}
	return nil, errForNumber
}

func notA(t reflect.Type, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("names no %v", t.Kind())
}

func itemsRule(fits func(n, bound int) bool, says string) func(reflect.Type, string) (rule, error) {
	return func(t reflect.Type, arg string) (rule, error) {
		bound, err := strconv.ParseUint(arg, 10, 31)
		switch {
		case !isList(t):
			return rule{}, errForList
		case err != nil:
			return rule{}, errCount
		}
		n := int(bound)
		return rule{func(v reflect.Value) bool { return fits(v.Len(), n) }, fmt.Sprintf(says, n)}, nil
	}
}

// uniqueRule is for items that Go compares as JSON does.
func uniqueRule(t reflect.Type, arg string) (rule, error) {
	switch {
	case arg != "true":
		return rule{}, errors.New(`knows "true" only`)
	case !isList(t):
		return rule{}, errForList
	}
	switch t.Elem().Kind() {
	case reflect.String, reflect.Bool, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return rule{unique, "must not have an item twice"}, nil
	}
	return rule{}, errors.New("is for lists of strings, numbers and booleans")
}

func unique(v reflect.Value) bool {
	seen := make(map[any]struct{}, v.Len())
	for i := range v.Len() {
		item := v.Index(i).Interface()
		if _, twice := seen[item]; twice {
			return false
		}
		seen[item] = struct{}{}
	}
	return true
}
