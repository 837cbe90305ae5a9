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
// An ID that the caller gave as a top-level attribute of that name stays, the first one given, and the context's is left
// out. It is not looked for in groups without a name, whose members slog writes at the level above.
type Handler struct {
	next   slog.Handler // has the attributes that were given while no group was open, and no group
	yield  []func(context.Context) []slog.Attr
	redact *redactor
	fields Fields
	sample *sampler // shared by all that are derived of one; nil when nothing is sampled
	levels *Levels
	level  slog.Leveler // of loggers that levels has no level for; nil when that is for next to say
	name   string       // of the logger, empty while it has none
	given  idSet        // the IDs that next has as attributes
	groups []group      // that are open, outermost first
	keeps  bool         // whether next may keep the members of groups
	plain  *plain       // nil where next is for all records
	rooms  *rooms
}

// group is an open group. The groups are kept here and not opened in next, where nothing could be written above them.
type group struct {
	name   string
	attrs  []slog.Attr
	secret bool // by its name
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
	next = tee(next, o.Also)
	return &Handler{
		next: next, yield: slices.Clone(o.Attrs), redact: newRedactor(keys), fields: o.Fields,
		sample: newSampler(next, o.Sample), levels: o.Levels, keeps: mayKeep(next), rooms: &rooms{},
	}
}

// tee returns a handler that gives next all records, and then those that are not nil of also.
func tee(next slog.Handler, also []slog.Handler) slog.Handler {
	all := []slog.Handler{next}
	for _, h := range also {
		if h != nil {
			all = append(all, h)
		}
	}
	if len(all) == 1 {
		return next
	}
	return slog.NewMultiHandler(all...)
}

// Enabled reports whether records of level are written, as the level of the logger's name has it or else
// [Options].Level. Under [NewHandler] a handler below must write them too.
func (h *Handler) Enabled(ctx context.Context, level slog.Level) bool {
	lowest, named := h.levels.of(h.name)
	switch {
	case named && level < lowest:
		return false
	case h.level == nil:
		return h.next.Enabled(ctx, level)
	case named:
		return true
	default:
		return level >= h.level.Level()
	}
}

// Handle passes r on with what the context adds, unless r repeats others and is only counted (see [Sample]).
func (h *Handler) Handle(ctx context.Context, r slog.Record) error {
	e := extra{trace: trace.SpanContextFromContext(ctx)}
	var failed error
	if h.sample != nil {
		var pass bool
		if e.repeated, pass, failed = h.sample.admit(ctx, r.Level, r.Message); !pass {
			return failed
		}
	}
	var err error
	if len(h.groups) > 0 {
		err = h.handleNested(ctx, &r, &e)
	} else {
		err = h.handleFlat(ctx, &r, &e)
	}
	if failed != nil {
		return errors.Join(failed, err)
	}
	return err
}

// handleFlat handles a record while no group is open.
func (h *Handler) handleFlat(ctx context.Context, r *slog.Record, e *extra) error {
	given, twice := h.given, idSet(0)
	r.Attrs(func(a slog.Attr) bool {
		id := h.fields.id(a.Key)
		twice |= given & id
		given |= id
		return true
	})
	if given&hasCorrelation == 0 {
		e.correlation = correlation.FromContext(ctx)
	}
	if h.plain == nil && e.none() && len(h.yield) == 0 && twice == 0 && h.redact.spares(r) {
		return h.next.Handle(ctx, *r) // as it is
	}
	room := h.rooms.get()
	attrs := h.appendContext(ctx, room.attrs, e, given)
	added := len(attrs)
	attrs = h.appendOwn(attrs, r)
	if twice != 0 {
		attrs = attrs[:added+len(h.fields.once(attrs[added:], h.given))]
	}
	ok, err := h.plain.write(room, r, attrs)
	if !ok {
		err = h.pass(ctx, r, attrs)
	}
	h.rooms.put(room, attrs)
	return err
}

// pass gives next a record that has attrs in place of its own.
func (h *Handler) pass(ctx context.Context, r *slog.Record, attrs []slog.Attr) error {
	out := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	if h.keeps {
		out.AddAttrs(attrs...)
	} else {
		// A group without a name is written as its members are, more than five of which would be an allocation.
		out.AddAttrs(slog.Attr{Value: slog.GroupValue(attrs...)})
	}
	return h.next.Handle(ctx, out)
}

// handleNested handles a record whose attributes belong into the open groups.
func (h *Handler) handleNested(ctx context.Context, r *slog.Record, e *extra) error {
	e.correlation = correlation.FromContext(ctx)
	inner := h.groups[len(h.groups)-1].attrs
	var own *room
	if h.keeps {
		own = &room{attrs: make([]slog.Attr, 0, len(inner)+r.NumAttrs())}
	} else {
		own = h.rooms.get()
	}
	attrs := h.appendOwn(append(own.attrs, inner...), r)
	group, attrs := h.nest(attrs)
	var more [6]slog.Attr // on the stack, enough for most records
	out := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	out.AddAttrs(append(h.appendContext(ctx, more[:0], e, h.given), group)...)
	err := h.next.Handle(ctx, out)
	if !h.keeps {
		h.rooms.put(own, attrs)
	}
	return err
}

// appendOwn appends the attributes of r, without secrets.
func (h *Handler) appendOwn(attrs []slog.Attr, r *slog.Record) []slog.Attr {
	n := len(attrs)
	r.Attrs(func(a slog.Attr) bool {
		attrs = append(attrs, a)
		return true
	})
	h.redact.all(attrs[n:])
	return attrs
}

// WithAttrs returns a handler whose records have attrs too, in the open group.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if len(attrs) == 0 {
		return h
	}
	attrs = slices.Clone(attrs)
	h.redact.all(attrs)
	derived := *h
	if len(h.groups) == 0 {
		attrs = h.fields.once(attrs, h.given)
		derived.given |= h.fields.ids(attrs)
		derived.name = nameAmong(attrs, h.name)
		derived.next = h.next.WithAttrs(attrs)
		derived.plain = h.plain.with(attrs)
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
	derived.groups = append(slices.Clip(h.groups), group{name: name, secret: h.redact.match(name)})
	return &derived
}

// nest returns the open groups as one attribute, attrs being what is in the innermost, and what it appended to them for
// the others.
func (h *Handler) nest(attrs []slog.Attr) (slog.Attr, []slog.Attr) {
	inner := len(h.groups) - 1
	a := h.groups[inner].attr(attrs)
	for _, g := range slices.Backward(h.groups[:inner]) {
		n := len(attrs)
		attrs = append(append(attrs, g.attrs...), a)
		a = g.attr(attrs[n:])
	}
	return a, attrs
}

// attr returns the group with what is in it.
func (g *group) attr(attrs []slog.Attr) slog.Attr {
	if g.secret && len(attrs) > 0 {
		return slog.String(g.name, redacted)
	}
	return slog.Attr{Key: g.name, Value: slog.GroupValue(attrs...)}
}

// extra is what a record gets besides what [Options].Attrs yield.
type extra struct {
	correlation string
	trace       trace.SpanContext
	repeated    int
}

// none reports whether it is nothing.
func (e *extra) none() bool { return e.correlation == "" && !e.trace.IsValid() && e.repeated == 0 }

// appendContext appends e and what the context yields, but not the IDs that are given. All of it comes before the
// record's attributes: slog.JSONHandler forgets the comma after a group whose members all turn out empty.
func (h *Handler) appendContext(ctx context.Context, attrs []slog.Attr, e *extra, given idSet) []slog.Attr {
	if e.correlation != "" && given&hasCorrelation == 0 {
		attrs = append(attrs, slog.String(correlation.Attr, e.correlation))
	}
	if e.trace.IsValid() {
		attrs = h.fields.appendTrace(attrs, e.trace, given)
	}
	if e.repeated > 0 {
		attrs = append(attrs, slog.Int(repeatedAttr, e.repeated))
	}
	if len(h.yield) == 0 {
		return attrs
	}
	given |= h.fields.ids(attrs)
	for _, f := range h.yield {
		for _, a := range f(ctx) {
			id := h.fields.id(a.Key)
			if id&given != 0 {
				continue
			}
			given |= id
			attrs = append(attrs, h.redact.attr(a))
		}
	}
	return attrs
}
