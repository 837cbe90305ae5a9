package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/internal/reqstate"
)

const (
	defaultHeartbeat    = 15 * time.Second
	defaultRetry        = time.Second
	defaultWriteTimeout = 30 * time.Second
	defaultMaxEvent     = 1 << 20
	defaultMaxFailures  = 10

	mediaEvents = "text/event-stream"
	lastEventID = "Last-Event-Id" // canonical
	// Names of the events that say how a stream ended.
	endEvent     = "end"
	problemEvent = "problem"
)

// StreamOptions say who may listen to a stream, and how both ends keep it alive.
type StreamOptions struct {
	// Access says who may listen. Zero means [transport.InternalOnly]: a verified service.
	Access transport.Access
	// Scopes that the caller's credential must carry, all of them. Nil means none. Scopes of a Public stream make
	// [NewStream] panic.
	Scopes []string
	// Errors that the stream returns beside the codes of package transport, see [ErrorOf]. Nil means none.
	Errors []ErrorType
	// Heartbeat is how long a stream is silent at most: then the server sends a comment, which proxies and the client
	// take for life. A client that hears nothing for three times as long connects anew. Zero means 15s; negative means
	// none, on both sides.
	Heartbeat time.Duration
	// Retry is how long clients wait before they connect anew, at least; the server tells them. Zero means 1s; negative
	// leaves it to the client, which is 1s for ours.
	Retry time.Duration
	// MaxEvent bounds the bytes of one event that is sent, and of one that a client takes. Zero and negative mean 1 MiB:
	// an event is held in memory at both ends.
	MaxEvent int
	// WriteTimeout bounds the time that one event takes the reader; then the stream is cut. Zero means 30s; negative
	// leaves it to the server.
	WriteTimeout time.Duration
	// MaxFailures is how often in a row a client connects in vain before it gives up. Zero means 10; negative means no
	// bound, so that only its context ends it.
	MaxFailures int
}

func (o StreamOptions) withDefaults() StreamOptions {
	o.Heartbeat = orDefault(o.Heartbeat, defaultHeartbeat)
	o.Retry = orDefault(o.Retry, defaultRetry)
	o.WriteTimeout = orDefault(o.WriteTimeout, defaultWriteTimeout)
	o.MaxFailures = orDefault(o.MaxFailures, defaultMaxFailures)
	if o.MaxEvent <= 0 {
		o.MaxEvent = defaultMaxEvent
	}
	return o
}

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// Stream is one operation of an HTTP API that is answered by events, one after the other, as server-sent events
// (WHATWG HTML, section 9.2). It is immutable and safe for concurrent use; make it once, with [NewStream], as a package
// variable of the contract.
type Stream[Req, Event any] struct {
	contract
	event *eventPlan
	opts  StreamOptions
}

// NewStream declares a stream. The pattern's method is GET: browsers know no other, and a client that lost the
// connection makes the request again. Req is what it is for [NewEndpoint]. Event is anything that encoding/json knows.
// Nil options are defaults.
//
// An Event that is a struct may have a field `sse:"id"`, a string or an integer: where it is not zero it is the event's
// ID, and a client that lost the connection sends the last one with its next request. Req must have a field of the
// same type `header:"Last-Event-ID"` then, from which the handler goes on; zero is a beginning. A string field
// `sse:"event"` is the name under which a browser's EventSource dispatches it; the names "end", "problem" and "error"
// are taken. Neither is in the JSON.
//
// NewStream panics where the declaration is wrong, as NewEndpoint does.
func NewStream[Req, Event any](pattern string, o *StreamOptions) *Stream[Req, Event] {
	if o == nil {
		o = &StreamOptions{}
	}
	s := &Stream[Req, Event]{opts: o.withDefaults()}
	var err error
	s.contract, err = newContract(pattern, reflect.TypeFor[Req](), o.Access, o.Scopes, o.Errors)
	if err == nil && s.pattern.method != http.MethodGet {
		err = fmt.Errorf("a stream is a GET, not a %s", s.pattern.method)
	}
	if err == nil {
		s.event, err = newEventPlan(reflect.TypeFor[Event]())
	}
	if err == nil {
		err = s.checkResume(reflect.TypeFor[Req]())
	}
	if err != nil {
		panic(fmt.Sprintf("httpapi: stream %q: %v", pattern, err))
	}
	return s
}

// checkResume holds the events' ID against the request's: a server that sends IDs and cannot go on from them loses
// events, or sends them twice.
func (s *Stream[Req, Event]) checkResume(req reflect.Type) error {
	if s.event.id == nil {
		return nil
	}
	for i := range s.plan.params {
		q := &s.plan.params[i]
		if q.in != inHeader || q.name != lastEventID {
			continue
		}
		if t := req.FieldByIndex(q.index).Type; t != s.event.idType {
			return fmt.Errorf("%v has a Last-Event-ID of type %v, and the events' is %v", req, t, s.event.idType)
		}
		return nil
	}
	return fmt.Errorf("the events have an ID, and no field of %v is header:%q", req, "Last-Event-ID")
}

// eventPlan is what reflection says of an event's type, worked out once.
type eventPlan struct {
	id     []int // index of the field that is the ID, nil for none
	idType reflect.Type
	codec  codec        // of the ID
	name   []int        // index of the field that is the name, nil for none
	json   reflect.Type // pointer type that encoding/json sees
	schema *schema
}

func newEventPlan(t reflect.Type) (*eventPlan, error) {
	p := &eventPlan{json: reflect.PointerTo(t)}
	var err error
	if t.Kind() != reflect.Struct || readsItself(t) {
		p.schema, err = newSchema(t, nil)
		return p, err
	}
	var fields []reflect.StructField
	for i := range t.NumField() {
		f := t.Field(i)
		if tag, ok := f.Tag.Lookup("sse"); ok {
			if err := p.take(f, tag, i); err != nil {
				return nil, mistake(t, f, "%w", err)
			}
			f.Tag = `json:"-"`
		}
		fields = append(fields, f)
	}
	if p.json, err = bodyType(t, fields, p.id != nil || p.name != nil); err != nil {
		return nil, err
	}
	p.schema, err = newSchema(t, func(f reflect.StructField) bool { _, ok := f.Tag.Lookup("sse"); return ok })
	return p, err
}

func (p *eventPlan) take(f reflect.StructField, tag string, i int) (err error) {
	switch kind := f.Type.Kind(); {
	case !f.IsExported():
		return errUnexported
	case tag == "event" && kind == reflect.String && p.name == nil:
		p.name = []int{i}
		return nil
	case tag == "id" && p.id == nil && (kind == reflect.String || f.Type.ConvertibleTo(reflect.TypeFor[int64]()) &&
		kind != reflect.Float32 && kind != reflect.Float64):
		p.id, p.idType = []int{i}, f.Type
		p.codec, err = newCodec(f.Type)
		return err
	}
	return errors.New(`must be the one sse:"id", a string or an integer, or the one sse:"event", a string`)
}

var (
	errEventName = errors.New("the event's name is taken, or holds a line break")
	errEventID   = errors.New("the event's ID holds a control character")
)

// head returns the lines of an event that v points to, before its data.
func (p *eventPlan) head(v reflect.Value) (string, error) {
	var head string
	if p.id != nil {
		if field := v.Elem().FieldByIndex(p.id); !field.IsZero() {
			id, _, err := p.codec.text(field)
			switch {
			case err != nil:
				return "", err
			case strings.ContainsFunc(id, isControl):
				return "", errEventID
			}
			head = "id: " + id + "\n"
		}
	}
	if p.name != nil {
		switch name := v.Elem().FieldByIndex(p.name).String(); {
		case name == "":
		case name == endEvent, name == problemEvent, name == "error", strings.ContainsAny(name, "\r\n"):
			return "", errEventName
		default:
			head += "event: " + name + "\n"
		}
	}
	return head, nil
}

// isControl reports whether a header, in which an ID comes back, cannot hold r.
func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// HandleStream registers f as the handler of s under s's pattern. It panics where mux does: on a pattern that conflicts
// with another.
func HandleStream[Req, Event any](mux Mux, s *Stream[Req, Event],
	f func(ctx context.Context, req Req, send func(Event) error) error) {
	mux.Handle(s.pattern.text, s.Handler(f, nil))
}

// streamHandler serves one stream.
type streamHandler[Req, Event any] struct {
	s         *Stream[Req, Event]
	f         func(context.Context, Req, func(Event) error) error
	pathValue pathValueFunc // nil is r.PathValue
}

// Handler returns the http.Handler that decodes a Req and calls f, which sends one event after the other. Nil options
// are defaults. Access is what it is for [Endpoint.Handler].
//
// send returns when the event is on its way to the caller. It returns an error, and so f should, when the event cannot
// be encoded or is too large, when the caller has left, and when ctx has ended, which is also when the server drains
// (httpserver.Draining): clients connect anew then, to another replica. It may be called from several goroutines, until
// f returns. ctx has no deadline of the server's once an event was sent.
//
// What f returns is told to the caller: nil that the stream is complete, and an error what is wrong, as an HTTP answer
// where nothing has been sent and as the stream's last event after that. The header is sent with the first event, and
// after a quarter of a second without one. A stream that ends without any event in that time is 204, which tells an
// EventSource not to come back.
func (s *Stream[Req, Event]) Handler(f func(ctx context.Context, req Req, send func(Event) error) error,
	o *HandlerOptions) http.Handler {
	return &streamHandler[Req, Event]{s, f, pathValueOf(o)}
}

// Access tells a server whom to let through without a credential.
func (h *streamHandler[Req, Event]) Access() transport.Access { return h.s.access }

func (h *streamHandler[Req, Event]) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	state := reqstate.From(r.Context())
	if err := h.s.begin(r.Context(), state); err != nil {
		WriteError(w, r, err)
		return
	}
	var req Req
	if _, err := h.s.bind(w, r, state, reflect.ValueOf(&req), h.pathValue); err != nil {
		WriteError(w, r, err)
		return
	}
	if r.Method == http.MethodHead { // which http.ServeMux sends here too
		w.Header().Set("Content-Type", mediaEvents)
		return
	}
	out := newEventWriter(w, r, h.s.event, h.s.opts)
	out.finish(out.run(func(ctx context.Context) error {
		return h.f(ctx, req, func(e Event) error { return out.send(ctx, reflect.ValueOf(&e)) })
	}), h.s.errors)
}
