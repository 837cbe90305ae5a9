package main

import (
	"cmp"
	"slices"
	"strings"
	"testing"

	"github.com/mainstay-go/mainstay/examples/shop/internal/spanfile"
)

// The customer of the tests: the trace and the span that it calls from, and its own name for the order.
const (
	customerTrace       = "0af70af70af70af70af70af70af70af7"
	customerSpan        = "00f067aa0ba902b7"
	customerCorrelation = "the-customers-own-id"
)

// step is one span of an order, with the statements that it sent to its service's database.
type step struct {
	what  string // service, kind and name, which are unique in the trace
	under string // its parent, "customer" for the caller
	attrs string // some of them, "key=value" with spaces between
	sql   string // spans of their own, in their order, with spaces between
}

// trail is the trace of one order: all of its spans, and how they hang together. A consumer's span is the child of the
// producer's, in one trace, so there are no links.
var trail = []step{
	{"orders server POST /orders", "customer",
		"http.request.method=POST http.route=/orders http.response.status_code=201 url.path=/orders url.scheme=http " +
			"server.address=127.0.0.1 client.address=127.0.0.1 network.protocol.version=1.1",
		"SELECT BEGIN INSERT INSERT COMMIT"},
	{"orders client GET /users/{id}", "orders server POST /orders",
		"http.request.method=GET http.response.status_code=200 server.address=127.0.0.1 url.template=/users/{id}", ""},
	{"users server GET /users/{id}", "orders client GET /users/{id}",
		"http.request.method=GET http.route=/users/{id} http.response.status_code=200 url.path=/users/alice", "SELECT"},
	{"orders client mainstay.shop.v1.Catalog/GetProduct", "orders server POST /orders",
		"rpc.system.name=grpc rpc.method=mainstay.shop.v1.Catalog/GetProduct rpc.response.status_code=OK", ""},
	{"catalog server mainstay.shop.v1.Catalog/GetProduct", "orders client mainstay.shop.v1.Catalog/GetProduct",
		"rpc.system.name=grpc rpc.method=mainstay.shop.v1.Catalog/GetProduct rpc.response.status_code=OK", "SELECT"},

	{"orders producer send order.created", "orders server POST /orders", sending("order.created"), ""},
	{"inventory consumer process order.created", "orders producer send order.created",
		processing("inventory", "order.created"), "BEGIN INSERT UPDATE INSERT INSERT COMMIT"},
	{"inventory producer send stock.reserved", "inventory consumer process order.created", sending("stock.reserved"), ""},
	{"payments consumer process stock.reserved", "inventory producer send stock.reserved",
		processing("payments", "stock.reserved"), "BEGIN INSERT INSERT INSERT COMMIT"},
	{"payments producer send payment.charged", "payments consumer process stock.reserved", sending("payment.charged"), ""},
	{"notifications consumer process payment.charged", "payments producer send payment.charged",
		processing("notifications", "payment.charged"), "BEGIN INSERT INSERT COMMIT"},
	{"orders consumer process payment.charged", "payments producer send payment.charged",
		processing("orders", "payment.charged"), "BEGIN INSERT UPDATE COMMIT"},
}

func sending(topic string) string {
	return "messaging.system=nats messaging.operation.name=send messaging.operation.type=send " +
		"messaging.destination.name=" + topic + " messaging.message.conversation_id=" + customerCorrelation
}

func processing(subscription, topic string) string {
	return "messaging.system=nats messaging.operation.name=process messaging.operation.type=process " +
		"messaging.destination.name=" + topic + " messaging.consumer.group.name=" + subscription +
		" messaging.message.conversation_id=" + customerCorrelation
}

// checkTrail wants the customer's trace in all to be trail, and nothing else.
func checkTrail(t *testing.T, all []spanfile.Span) {
	t.Helper()
	tr := newTrace(all, customerTrace)
	for _, want := range trail {
		got := tr.steps[want.what]
		if len(got) != 1 {
			t.Errorf("%q is in the trace %d times, want once", want.what, len(got))
			continue
		}
		tr.check(t, got[0], want)
		delete(tr.steps, want.what)
	}
	for what := range tr.steps {
		t.Errorf("%q is in the trace, want no such span", what)
	}
	for id, statements := range tr.sql {
		t.Errorf("statements %v under a span %s that is not in the trace", statements, id)
	}
	if t.Failed() {
		for _, s := range all {
			if s.TraceID == customerTrace {
				t.Logf("span %s under %q: %s %v", s.SpanID, s.ParentID, what(s), s.Attrs)
			}
		}
	}
}

// trace is one trace, taken apart.
type trace struct {
	names map[string]string          // what a span is, by ID
	steps map[string][]spanfile.Span // by what
	sql   map[string][]string        // statements by the ID of the parent
	ids   map[string]string          // of messages, by the span's ID
}

func newTrace(all []spanfile.Span, id string) *trace {
	tr := &trace{
		names: map[string]string{customerSpan: "customer"},
		steps: map[string][]spanfile.Span{}, sql: map[string][]string{}, ids: map[string]string{},
	}
	all = slices.SortedStableFunc(slices.Values(all), func(a, b spanfile.Span) int {
		return cmp.Or(a.Start.Compare(b.Start), strings.Compare(a.Name, b.Name))
	})
	for _, s := range all {
		switch {
		case s.TraceID != id:
		case s.Attrs["db.system.name"] != "":
			tr.sql[s.ParentID] = append(tr.sql[s.ParentID], statement(s))
		default:
			tr.names[s.SpanID] = what(s)
			tr.ids[s.SpanID] = s.Attrs["messaging.message.id"]
			tr.steps[what(s)] = append(tr.steps[what(s)], s)
		}
	}
	return tr
}

func what(s spanfile.Span) string { return s.Service + " " + s.Kind + " " + s.Name }

// statement is what a statement's span is about, with all that is wrong with it.
func statement(s spanfile.Span) string {
	if s.Kind != "client" || s.Attrs["db.operation.name"] != s.Name || s.Error != "" || len(s.Links) > 0 {
		return s.Kind + ":" + s.Name + ":" + s.Attrs["db.operation.name"] + ":" + s.Error
	}
	return s.Name
}

// check wants s, the only one of its name, to be as want says.
func (tr *trace) check(t *testing.T, s spanfile.Span, want step) {
	t.Helper()
	if got := tr.names[s.ParentID]; got != want.under {
		t.Errorf("%q: parent = %q, want %q", want.what, got, want.under)
	}
	if got := strings.Join(tr.sql[s.SpanID], " "); got != want.sql {
		t.Errorf("%q: statements = %q, want %q", want.what, got, want.sql)
	}
	delete(tr.sql, s.SpanID)
	for _, attr := range strings.Fields(want.attrs) {
		key, value, _ := strings.Cut(attr, "=")
		if got := s.Attrs[key]; got != value {
			t.Errorf("%q: %s = %q, want %q", want.what, key, got, value)
		}
	}
	if s.Error != "" || len(s.Links) > 0 {
		t.Errorf("%q: error %q, links %q, want none", want.what, s.Error, s.Links)
	}
	if s.Kind == "consumer" && (tr.ids[s.SpanID] == "" || tr.ids[s.SpanID] != tr.ids[s.ParentID]) {
		t.Errorf("%q: message = %q, want the producer's, %q", want.what, tr.ids[s.SpanID], tr.ids[s.ParentID])
	}
}
