package tracing

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/propagation"
)

// The limits of W3C Baggage, section 3.3.2 "Limits". They are the least that a platform must carry, and the most that
// this one does.
const (
	maxBaggageKeys  = 64
	maxBaggageBytes = 8192
)

// baggageHeader is the name of W3C Baggage's header; canonicalBaggage is the same in an http.Header.
const (
	baggageHeader    = "baggage"
	canonicalBaggage = "Baggage"
)

// propagator returns what [Provider.Propagator] does.
func (o *Options) propagator() (propagation.TextMapPropagator, error) {
	if len(o.Baggage) > maxBaggageKeys {
		return nil, fmt.Errorf("tracing: Options.Baggage has %d keys, more than %d", len(o.Baggage), maxBaggageKeys)
	}
	for _, key := range o.Baggage {
		if _, err := baggage.NewMember(key, ""); err != nil {
			return nil, fmt.Errorf("tracing: Options.Baggage: %q is not a key of W3C Baggage", key)
		}
	}
	for i, p := range o.Propagators {
		switch {
		case p == nil:
			return nil, fmt.Errorf("tracing: Options.Propagators[%d] is nil", i)
		case slices.Contains(p.Fields(), baggageHeader):
			// It would send every key, whatever Baggage lists.
			return nil, fmt.Errorf("tracing: Options.Propagators[%d] sends baggage, which is for Options.Baggage", i)
		}
	}
	// The last to find a caller's span wins.
	all := append(slices.Clone(o.Propagators), propagation.TraceContext{})
	if len(o.Baggage) > 0 {
		all = append(all, listed(slices.Compact(slices.Sorted(slices.Values(o.Baggage)))))
	}
	if len(all) == 1 {
		return all[0], nil
	}
	return propagation.NewCompositeTextMapPropagator(all...), nil
}

// listed propagates these keys of the baggage, in the W3C format.
type listed []string

// Inject sets the header to the listed members that ctx has, as many as fit.
func (l listed) Inject(ctx context.Context, carrier propagation.TextMapCarrier) {
	bag := baggage.FromContext(ctx)
	if bag.Len() == 0 {
		return
	}
	var header strings.Builder
	for _, key := range l {
		member := bag.Member(key)
		if member.Key() == "" {
			continue
		}
		s := member.String()
		if header.Len()+len(",")+len(s) > maxBaggageBytes {
			continue
		}
		if header.Len() > 0 {
			header.WriteByte(',')
		}
		header.WriteString(s)
	}
	if header.Len() > 0 {
		carrier.Set(baggageHeader, header.String())
	}
}

// Extract returns ctx with the listed members that came, without those that are ill-formed. Of baggage that is too
// large it takes nothing.
func (l listed) Extract(ctx context.Context, carrier propagation.TextMapCarrier) context.Context {
	var members []string
	switch c := carrier.(type) {
	case propagation.HeaderCarrier:
		members = l.pick(c[canonicalBaggage]...) // Values would allocate the canonical name
	case propagation.ValuesGetter:
		members = l.pick(c.Values(baggageHeader)...)
	default:
		members = l.pick(c.Get(baggageHeader))
	}
	if len(members) == 0 {
		return ctx
	}
	bag, _ := baggage.Parse(strings.Join(members, ",")) // an ill-formed member is no reason to lose the others
	if bag.Len() == 0 {
		return ctx
	}
	return baggage.ContextWithBaggage(ctx, bag)
}

// pick returns the members with listed keys, unparsed: what a stranger sends for other keys is never looked at.
func (l listed) pick(headers ...string) []string {
	size := 0
	for _, h := range headers {
		size += len(h) + len(",")
	}
	if size-len(",") > maxBaggageBytes {
		return nil
	}
	var members []string
	for _, h := range headers {
		for member := range strings.SplitSeq(h, ",") {
			key, _, _ := strings.Cut(member, "=")
			if slices.Contains(l, strings.TrimSpace(key)) {
				members = append(members, member)
			}
		}
	}
	return members
}

// Fields returns the header that Inject sets.
func (l listed) Fields() []string { return []string{baggageHeader} }
