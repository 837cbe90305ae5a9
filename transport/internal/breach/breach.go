// Package breach is how a stub of a contract says that it does not keep the contract itself.
package breach

import "github.com/mainstay-go/mainstay/transport"

// Error is why a stub's result was not sent.
type Error struct {
	Pattern string
	Fields  []transport.FieldViolation // one at least
}

func (e *Error) Error() string {
	s := `the stub of "` + e.Pattern + `" breaks the contract`
	for _, f := range e.Fields {
		s += ": " + f.Field + " " + f.Description
	}
	return s
}
