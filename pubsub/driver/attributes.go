package driver

import (
	"maps"
	"slices"
)

// Attribute is one attribute of a message.
type Attribute struct{ Name, Value string }

// Attributes are those of a message, in no particular order. Of a name that is there more than once, as only a stranger
// sends it, the first counts.
type Attributes []Attribute

// AttributesOf returns m's entries, in the order of their names.
func AttributesOf(m map[string]string) Attributes {
	as := make(Attributes, 0, len(m))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		as = append(as, Attribute{name, m[name]})
	}
	return as
}

// Get returns the value of name, "" where there is none.
func (as Attributes) Get(name string) string {
	if i := as.index(name); i >= 0 {
		return as[i].Value
	}
	return ""
}

// Set makes value that of name. It changes the elements of as, which must not be somebody else's.
func (as *Attributes) Set(name, value string) {
	if i := as.index(name); i >= 0 {
		(*as)[i].Value = value
		return
	}
	*as = append(*as, Attribute{name, value})
}

// Delete removes names. It changes the elements of as, which must not be somebody else's.
func (as *Attributes) Delete(names ...string) {
	*as = slices.DeleteFunc(*as, func(a Attribute) bool { return slices.Contains(names, a.Name) })
}

// Map returns the attributes by name.
func (as Attributes) Map() map[string]string {
	m := make(map[string]string, len(as))
	for _, a := range slices.Backward(as) {
		m[a.Name] = a.Value
	}
	return m
}

func (as Attributes) index(name string) int {
	return slices.IndexFunc(as, func(a Attribute) bool { return a.Name == name })
}
