package logging

import (
	"context"
	"errors"
	"log/slog"
	"slices"

	"go.opentelemetry.io/otel/trace"

	"github.com/mainstay-go/mainstay/tracing/correlation"
)

// Handler adds the IDs of a record's context to it and hides secrets, then passes it on. It is safe for concurrent use
// when the handler below is.
//
// An ID that the caller gave as a top-level attribute of that name stays, and the context's is left out.
type Handler struct {
	next   slog.Handler // has the attributes that were given while no group was open, and no group
	yield  []func(context.Context) []slog.Attr
	redact *redactor
	fields Fields
	sample *sampler // shared by all that are derived of one; nil when nothing is sampled
	levels *Levels
	level  slog.Leveler // of loggers that levels has no level for; nil when next decides alone
	name   string       // of the logger, empty while it has none
	given  idSet        // the IDs that next has as attributes
	groups []group      // that are open, outermost first
}

// group is an open group. The groups are kept here and not opened in next, where nothing could be written above them.
type group struct {
	name  string
	attrs []slog.Attr
}

// NewHandler returns a handler over next. Nil options are the defaults.
func NewHandler(next slog.Handler, o *Options) *Handler {
	if o == nil {
		o = &Options{}
	}
	keys := o.Redact
	if keys == nil {
		keys = DefaultRedact()
	}
	return &Handler{
		next: next, yield: slices.Clone(o.Attrs), redact: newRedactor(keys), fields: o.Fields,
		sample: newSampler(next, o.Sample), levels: o.Levels,
	}
}

// Enabled reports whether the handler below writes records of level, and the logger's name has no higher one.
func (h *Handler) Enabled(ctx context.Context, level slog.Level) bool {
	if lowest, ok := h.levels.of(h.name); ok {
		if level < lowest {
			return false
		}
	} else if h.level != nil && level < h.level.Level() {
		return false
	}
	return h.next.Enabled(ctx, level)
}

// Handle passes r on with what the context adds, unless r repeats others and is only counted (see [Sample]).
func (h *Handler) Handle(ctx context.Context, r slog.Record) error {
	var withheld int
	var failed error
	if h.sample != nil {
		var pass bool
		if withheld, pass, failed = h.sample.admit(ctx, r.Level, r.Message); !pass {
			return failed
		}
	}
	var room, more [8]slog.Attr // on the stack, enough for most records
	attrs, given := room[:0], h.given
	r.Attrs(func(a slog.Attr) bool {
		attrs = append(attrs, h.redact.attr(a))
		return true
	})
	if len(h.groups) > 0 {
		attrs = append(room[:0], h.nest(attrs))
	} else {
		given = h.with(given, attrs)
	}
	// The context's come first: slog.JSONHandler forgets the comma after a group whose members all turn out empty.
	added := h.appendIDs(ctx, more[:0], given)
	if withheld > 0 {
		added = append(added, slog.Int(repeatedAttr, withheld))
	}
	for _, f := range h.yield {
		for _, a := range f(ctx) {
			added = append(added, h.redact.attr(a))
		}
	}
	out := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	out.AddAttrs(added...)
	out.AddAttrs(attrs...)
	if failed != nil {
		return errors.Join(failed, h.next.Handle(ctx, out))
	}
	return h.next.Handle(ctx, out)
}

// WithAttrs returns a handler whose records have attrs too, in the open group.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if len(attrs) == 0 {
		return h
	}
	attrs = slices.Clone(attrs)
	for i := range attrs {
		attrs[i] = h.redact.attr(attrs[i])
	}
	derived := *h
	if len(h.groups) == 0 {
		derived.given = h.with(h.given, attrs)
		derived.name = nameAmong(attrs, h.name)
		derived.next = h.next.WithAttrs(attrs)
		return &derived
	}
	derived.groups = slices.Clone(h.groups)
	open := &derived.groups[len(h.groups)-1]
	open.attrs = slices.Concat(open.attrs, attrs)
	return &derived
}

// WithGroup returns a handler that puts the attributes of its records, but not the IDs, into a group of that name.
func (h *Handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	derived := *h
	derived.groups = append(slices.Clip(h.groups), group{name: name})
	return &derived
}

// nest returns a record's attributes inside the open groups, as one attribute.
func (h *Handler) nest(attrs []slog.Attr) slog.Attr {
	var a slog.Attr
	for i, g := range slices.Backward(h.groups) {
		if i < len(h.groups)-1 {
			attrs = []slog.Attr{a}
		}
		a = slog.Attr{Key: g.name, Value: slog.GroupValue(slices.Concat(g.attrs, attrs)...)}
	}
	return a
}

// with returns the set s and the IDs among attrs.
func (h *Handler) with(s idSet, attrs []slog.Attr) idSet {
	for i := range attrs {
		s |= h.fields.id(attrs[i].Key)
	}
	return s
}

// appendIDs appends the IDs of ctx that are not given.
func (h *Handler) appendIDs(ctx context.Context, attrs []slog.Attr, given idSet) []slog.Attr {
	if id := correlation.FromContext(ctx); id != "" && given&hasCorrelation == 0 {
		attrs = append(attrs, slog.String(correlation.Attr, id))
	}
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
		attrs = h.fields.appendTrace(attrs, sc, given)
	}
	return attrs
}
