package httpapi

import (
	"slices"
	"strconv"
	"strings"

	"github.com/mainstay-go/mainstay/transport"
)

// maxViolations bounds how many violations one error holds. It is what a client of the kit keeps of one.
const maxViolations = 64

// maxPointer bounds the bytes of a pointer: its names are the caller's own, and each violation repeats them.
const maxPointer = 512

// violations collects what is wrong with one request.
type violations struct {
	list []transport.FieldViolation
	way  []step // to the value that is looked at; it becomes a text for violations alone
}

// step is one part of the way to a value in a body.
type step struct {
	name  string
	index int // of an element of a list, -1 for a member
}

func (vs *violations) enter(name string) { vs.way = append(vs.way, step{name, -1}) }
func (vs *violations) enterItem(i int)   { vs.way = append(vs.way, step{"", i}) }
func (vs *violations) leave()            { vs.way = vs.way[:len(vs.way)-1] }

// add reports a parameter or a member by its name, unless there are enough.
func (vs *violations) add(field, description string) {
	if !vs.full() {
		vs.list = append(vs.list, transport.FieldViolation{Field: field, Description: description})
	}
}

// addHere reports the value that is looked at.
func (vs *violations) addHere(description string) {
	if !vs.full() {
		vs.add(vs.pointer(), description)
	}
}

func (vs *violations) full() bool { return len(vs.list) >= maxViolations }

// covers reports whether a violation names field, or something that it is a part of.
func (vs *violations) covers(field string) bool {
	return slices.ContainsFunc(vs.list, func(f transport.FieldViolation) bool {
		rest, ok := strings.CutPrefix(field, f.Field)
		return ok && (rest == "" || rest[0] == '/')
	})
}

// pointer returns the way as a JSON pointer (RFC 6901), "" for the whole body. One that is too long ends in "…".
func (vs *violations) pointer() string {
	var b strings.Builder
	for _, s := range vs.way {
		if b.Len()+len(s.name) > maxPointer {
			b.WriteString("/…")
			break
		}
		b.WriteByte('/')
		if s.index >= 0 {
			b.WriteString(strconv.Itoa(s.index))
			continue
		}
		b.WriteString(pointerEscapes.Replace(s.name))
	}
	return b.String()
}

// pointerEscapes is section 3 of RFC 6901.
var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1")
