package logging

import (
	"context"
	"io"
	"log/slog"
)

// Format is how records are written.
type Format uint8

const (
	JSON Format = iota // one JSON object a line, as slog.JSONHandler writes it; the default
	Text               // key=value pairs, one record a line, as slog.TextHandler writes it; for terminals
)

// Options says how to log.
type Options struct {
	// Format of the records. Zero means [JSON]. [NewHandler] ignores it.
	Format Format
	// Fields says what the fields are called, and how their values are written. Zero means [Plain]. [NewHandler] takes
	// the names of the trace's IDs from it; the handler below has named the rest.
	Fields Fields
	// AddSource adds the place in the source that logged the record, as slog.HandlerOptions has it: file, line and
	// function. False is off. [NewHandler] ignores it.
	AddSource bool
	// Level is the lowest level that is written. Nil means slog.LevelInfo; a *slog.LevelVar can change at run time.
	// [NewHandler] ignores it.
	Level slog.Leveler
	// Levels has the levels of loggers that have a name, which may be lower than Level or higher. Nil means that Level is
	// for all. Under [NewHandler] a record must pass the handler below too.
	Levels *Levels
	// Attrs yield attributes from a record's context, added at the top level beside the IDs (auth.LogAttrs is one).
	// They are called for every record, concurrently, and must not log with the same logger. Nil means none.
	Attrs []func(context.Context) []slog.Attr
	// Also are handlers that get every record too, once it is written: the same attributes, secrets redacted and the IDs
	// among them. OpenTelemetry's bridge for logs is one (otelslog.NewHandler; it takes the trace's IDs from the context
	// besides, and so has them twice). Each may have a level of its own, above that of the logger. Their errors keep no
	// record from the others, nor does the writer's from them. They are called where the program logs, which waits for
	// them. Nil means none, and a nil one is left out.
	Also []slog.Handler
	// Sample bounds how often one line is written. Zero writes every record.
	Sample Sample
	// Redact lists what the keys of secrets end with, in any case: "token" covers "access_token" and
	// "refreshToken", not "token_count". The value of such an attribute, a whole group too, or of a group
	// that is opened under such a name, is written as "[REDACTED]". Nil means [DefaultRedact]; empty and not nil is off.
	Redact []string
}

// New returns a logger that writes to w. Nil options are the defaults. One record is one Write, never two at once; a
// failed Write loses its record silently, as slog has it.
func New(w io.Writer, o *Options) *slog.Logger {
	if o == nil {
		o = &Options{}
	}
	level := o.Level
	if level == nil {
		level = slog.LevelInfo
	}
	opts := &slog.HandlerOptions{AddSource: o.AddSource, Level: level, ReplaceAttr: o.Fields.replace()}
	if o.Levels != nil {
		opts.Level = everything // the handler over it decides
	}
	out := &serial{w: w}
	var next slog.Handler = slog.NewJSONHandler(out, opts)
	if o.Format == Text {
		next = slog.NewTextHandler(out, opts)
	}
	h := NewHandler(next, o)
	h.level = level
	if h.next == next && o.Format != Text && opts.ReplaceAttr == nil && !o.AddSource {
		h.plain = &plain{w: out}
	}
	return slog.New(h)
}
