package main

import (
	"slices"
	"testing"

	"github.com/mainstay-go/mainstay/examples/shop/internal/spanfile"
	"github.com/mainstay-go/mainstay/tracing/correlation"
	"github.com/mainstay-go/mainstay/transport"
)

// TestTrust shows what the edge takes from its callers.
func TestTrust(t *testing.T) {
	t.Run("ATrustedCallerHasItsTraceKept", func(t *testing.T) {
		s := openShop(t, options{traceRatio: -1}) // and calls come from this machine
		unsampled := customer()
		unsampled.Set("Traceparent", "00-"+customerTrace+"-"+customerSpan+"-00")
		s.completeOrderOf(t, unsampled)
		wanted := unsampled.Clone()
		wanted.Set(transport.HeaderTraceSample, "1")
		s.completeOrderOf(t, wanted)
		s.stop()                      // spans are flushed then
		checkTrail(t, s.spans.list()) // of one order, the second
		for _, sp := range s.spans.list() {
			if sp.TraceID != customerTrace {
				t.Errorf("span %s of trace %s was kept, want those of the order alone", what(sp), sp.TraceID)
			}
		}
	})
	t.Run("AStrangerIsGivenATraceAndAnID", func(t *testing.T) {
		s := openShop(t, options{trust: "192.0.2.0/24"})
		placed := s.completeOrderOf(t, customer())
		s.stop()
		for _, line := range s.logs.linesWith(placed.ID) {
			if id := fields(line, correlation.Attr); len(id) != 1 || id[0] == customerCorrelation || !correlation.Valid(id[0]) {
				t.Errorf("correlation IDs %q, want one of the shop's own, in: %s", id, line)
			}
		}
		all := s.spans.list()
		if tr := newTrace(all, customerTrace); len(tr.steps)+len(tr.sql) > 0 {
			t.Errorf("the stranger's trace has %v, want nothing", tr.steps)
		}
		edge := slices.IndexFunc(all, func(sp spanfile.Span) bool { return what(sp) == trail[0].what })
		if edge < 0 {
			t.Fatalf("no span %q", trail[0].what)
		}
		if sp := all[edge]; sp.ParentID != "" || !slices.Equal(sp.Links, []string{customerSpan}) {
			t.Errorf("parent %q, links %q, want a link to %s alone", sp.ParentID, sp.Links, customerSpan)
		}
		if tr := newTrace(all, all[edge].TraceID); len(tr.steps) != len(trail) {
			t.Errorf("the shop's own trace has the steps %v, want all %d", tr.steps, len(trail))
		}
	})
	t.Run("AStrangerHasNoTraceKept", func(t *testing.T) {
		s := openShop(t, options{traceRatio: -1, trust: "192.0.2.0/24"})
		wanted := customer()
		wanted.Set(transport.HeaderTraceSample, "1")
		s.completeOrderOf(t, wanted)
		s.stop()
		if spans := s.spans.list(); len(spans) > 0 {
			t.Errorf("%d spans were kept, want none: %v", len(spans), spans)
		}
	})
}
