package logging

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret holds a value that does not print: not with any verb of fmt, not in JSON, XML or a log, and not as a field of
// something else. [Secret.Reveal] alone gives it away. The zero Secret holds the zero T.
type Secret[T any] struct {
	// A function, not a T: fmt prints what unexported fields hold without asking their methods.
	reveal func() T
}

// NewSecret returns a Secret that holds value.
func NewSecret[T any](value T) Secret[T] { return Secret[T]{func() T { return value }} }

// Reveal returns the value.
func (s Secret[T]) Reveal() T {
	if s.reveal == nil {
		var zero T
		return zero
	}
	return s.reveal()
}

// Format writes "[REDACTED]" for every verb.
func (s Secret[T]) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// String returns "[REDACTED]".
func (s Secret[T]) String() string { return redacted }

// MarshalText returns "[REDACTED]", which is what JSON and XML show.
func (s Secret[T]) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue returns "[REDACTED]".
func (s Secret[T]) LogValue() slog.Value { return slog.StringValue(redacted) }
