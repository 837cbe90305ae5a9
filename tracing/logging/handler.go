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
	level  slog.Leveler // of loggers that levels has no level for; nil when that is for next to say
	name   string       // of the logger, empty while it has none
	given  idSet        // the IDs that next has as attributes
	groups []group      // that are open, outermost first
	bound  int          // attributes of the open groups, and groups in groups
	rooms  *rooms       // for what is in groups; nil when next may keep it
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
	next = tee(next, o.Also)
	return &Handler{
		next: next, yield: slices.Clone(o.Attrs), redact: newRedactor(keys), fields: o.Fields,
		sample: newSampler(next, o.Sample), levels: o.Levels, rooms: newRooms(next),
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
	var withheld int
	var failed error
	if h.sample != nil {
		var pass bool
		if withheld, pass, failed = h.sample.admit(ctx, r.Level, r.Message); !pass {
			return failed
		}
	}
	var err error
	if len(h.groups) > 0 {
		err = h.handleNested(ctx, r, withheld)
	} else {
		err = h.handleFlat(ctx, r, withheld)
	}
	if failed != nil {
		return errors.Join(failed, err)
	}
	return err
}

// handleFlat handles a record while no group is open.
func (h *Handler) handleFlat(ctx context.Context, r slog.Record, withheld int) error {
	var room [8]slog.Attr // on the stack, enough for most records
	var more [6]slog.Attr
	own := room[:]
	if n := r.NumAttrs(); n > len(room) {
		own = make([]slog.Attr, n)
	}
	n := 0
	r.Attrs(func(a slog.Attr) bool {
		own[n] = a
		n++
		return true
	})
	own = own[:n]
	h.redact.all(own)
	out := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	out.AddAttrs(h.appendContext(ctx, more[:0], h.given|h.fields.ids(own), withheld)...)
	out.AddAttrs(own...)
	return h.next.Handle(ctx, out)
}

// handleNested handles a record whose attributes belong into the open groups.
func (h *Handler) handleNested(ctx context.Context, r slog.Record, withheld int) error {
	room := h.rooms.get(h.bound + r.NumAttrs())
	own := (*room)[copy(*room, h.groups[len(h.groups)-1].attrs):]
	n := 0
	r.Attrs(func(a slog.Attr) bool {
		own[n] = a
		n++
		return true
	})
	h.redact.all(own[:n])
	var more [6]slog.Attr // on the stack, enough for most records
	attrs := h.appendContext(ctx, more[:0], h.given, withheld)
	out := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	out.AddAttrs(append(attrs, h.nest(*room, n))...)
	err := h.next.Handle(ctx, out)
	h.rooms.put(room)
	return err
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
		derived.given |= h.fields.ids(attrs)
		derived.name = nameAmong(attrs, h.name)
		derived.next = h.next.WithAttrs(attrs)
		return &derived
	}
	derived.groups = slices.Clone(h.groups)
	open := &derived.groups[len(h.groups)-1]
	open.attrs = slices.Concat(open.attrs, attrs)
	derived.bound += len(attrs)
	return &derived
}

// WithGroup returns a handler that puts the attributes of its records, but not the IDs, into a group of that name.
func (h *Handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	derived := *h
	derived.groups = append(slices.Clip(h.groups), group{name: name})
	derived.bound += min(len(h.groups), 1) // in the group that was open
	return &derived
}

// nest returns the open groups as one attribute. Room has h.bound attributes more than the record, and begins with
// what is in the innermost group: n of the record come last.
func (h *Handler) nest(room []slog.Attr, n int) slog.Attr {
	inner := len(h.groups) - 1
	end := len(h.groups[inner].attrs) + n
	a := slog.Attr{Key: h.groups[inner].name, Value: slog.GroupValue(room[:end]...)}
	for _, g := range slices.Backward(h.groups[:inner]) {
		room = room[end:]
		end = copy(room, g.attrs) + 1
		room[end-1] = a
		a = slog.Attr{Key: g.name, Value: slog.GroupValue(room[:end]...)}
	}
	return a
}

// appendContext appends what the context says, but not the IDs that are given. All of it comes before the record's
// attributes: slog.JSONHandler forgets the comma after a group whose members all turn out empty.
func (h *Handler) appendContext(ctx context.Context, attrs []slog.Attr, given idSet, withheld int) []slog.Attr {
	if id := correlation.FromContext(ctx); id != "" && given&hasCorrelation == 0 {
		attrs = append(attrs, slog.String(correlation.Attr, id))
	}
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
		attrs = h.fields.appendTrace(attrs, sc, given)
	}
	if withheld > 0 {
		attrs = append(attrs, slog.Int(repeatedAttr, withheld))
	}
	for _, f := range h.yield {
		for _, a := range f(ctx) {
			attrs = append(attrs, h.redact.attr(a))
		}
	}
	return attrs
}
