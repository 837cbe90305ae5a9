package tracing_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/trace"

	"github.com/mainstay-go/mainstay/tracing"
)

// carry returns ctx with baggage, given as key, value, key, value.
func carry(t testing.TB, ctx context.Context, pairs ...string) context.Context {
	t.Helper()
	bag := baggage.FromContext(ctx)
	for ; len(pairs) > 0; pairs = pairs[2:] {
		m, err := baggage.NewMemberRaw(pairs[0], pairs[1])
		if err != nil {
			t.Fatal(err)
		}
		if bag, err = bag.SetMember(m); err != nil {
			t.Fatal(err)
		}
	}
	return baggage.ContextWithBaggage(ctx, bag)
}

// bag returns the baggage of ctx.
func bag(ctx context.Context) map[string]string {
	m := map[string]string{}
	for _, member := range baggage.FromContext(ctx).Members() {
		m[member.Key()] = member.Value()
	}
	return m
}

func propagator(t testing.TB, o tracing.Options) propagation.TextMapPropagator {
	t.Helper()
	return setup(t, o).Propagator()
}

func TestPropagator(t *testing.T) {
	t.Run("IsTraceContextAloneByDefault", func(t *testing.T) {
		if got := propagator(t, tracing.Options{}); got != (propagation.TraceContext{}) {
			t.Errorf("got %v, want W3C trace context", got)
		}
	})

	t.Run("SpeaksTheOthersToo", func(t *testing.T) {
		p := propagator(t, tracing.Options{Baggage: []string{"tenant"}, Propagators: []propagation.TextMapPropagator{own{}}})
		ctx, c := carry(t, remote(t.Context(), true), "tenant", "acme"), propagation.MapCarrier{}
		p.Inject(ctx, c)
		for _, key := range []string{"traceparent", "baggage", "x-own"} {
			if c[key] == "" {
				t.Errorf("sent: got %v, want %s in it", c, key)
			}
		}
		if got := p.Fields(); len(got) != 4 {
			t.Errorf("fields: got %v, want traceparent, tracestate, baggage, x-own", got)
		}
		ctx = p.Extract(t.Context(), propagation.MapCarrier{"x-own": "2"})
		if got := trace.SpanContextFromContext(ctx).TraceID(); got != (trace.TraceID{2}) {
			t.Errorf("taken in: got trace %v, want that of x-own", got)
		}
		ctx = p.Extract(t.Context(), propagation.MapCarrier{"x-own": "2", "traceparent": c["traceparent"]})
		if got := trace.SpanContextFromContext(ctx).TraceID(); got != (trace.TraceID{1}) {
			t.Errorf("taken in: got trace %v, want that of traceparent beside x-own", got)
		}
	})

	for name, o := range map[string]tracing.Options{
		"KeyWithASpace": {Baggage: []string{"tenant", "a b"}},
		"EmptyKey":      {Baggage: []string{""}},
		"KeyOfLetters":  {Baggage: []string{"ключ"}},
		"TooManyKeys":   {Baggage: slices.Repeat([]string{"k"}, 65)},
		"AllBaggage": {Propagators: []propagation.TextMapPropagator{
			propagation.NewCompositeTextMapPropagator(own{}, propagation.Baggage{}),
		}},
		"NilPropagator": {Propagators: []propagation.TextMapPropagator{own{}, nil}},
		"NilDetector":   {Detectors: []resource.Detector{nil}},
	} {
		t.Run("Refuses/"+name, func(t *testing.T) {
			o.ServiceName = "orders"
			p, err := tracing.Setup(t.Context(), &o)
			if err == nil || p != nil || !strings.HasPrefix(err.Error(), "tracing: Options.") {
				t.Errorf("got %v, %v; want an error that names the option", p, err)
			}
		})
	}
}

// own is a format of the test's own: the first byte of the trace ID.
type own struct{}

func (own) Inject(ctx context.Context, c propagation.TextMapCarrier) {
	id := trace.SpanContextFromContext(ctx).TraceID()
	c.Set("x-own", fmt.Sprint(id[0]))
}

func (own) Extract(ctx context.Context, c propagation.TextMapCarrier) context.Context {
	var first byte
	if _, err := fmt.Sscan(c.Get("x-own"), &first); err != nil {
		return ctx
	}
	return trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{first}, SpanID: trace.SpanID{1}, Remote: true,
	}))
}

func (own) Fields() []string { return []string{"x-own"} }

func TestBaggage(t *testing.T) {
	keys := []string{"tenant", "region", "tenant"}
	p := propagator(t, tracing.Options{Baggage: keys})
	keys[0] = "secret" // the caller's slice is the caller's

	for name, c := range map[string]struct {
		bag  []string
		want string
	}{
		"ListedKeysAlone": {[]string{"secret", "s3cr3t", "tenant", "acme", "user", "42"}, "tenant=acme"},
		"InOneOrder":      {[]string{"tenant", "a b", "region", "ü,;"}, "region=%C3%BC%2C%3B,tenant=a%20b"},
		"NoneListed":      {[]string{"secret", "s3cr3t"}, ""},
		"None":            {nil, ""},
	} {
		t.Run("Sends/"+name, func(t *testing.T) {
			sent := propagation.MapCarrier{}
			p.Inject(carry(t, t.Context(), c.bag...), sent)
			if got, ok := sent["baggage"]; got != c.want || ok != (c.want != "") {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}

	t.Run("SendsWhatFits", func(t *testing.T) {
		sent := propagation.MapCarrier{}
		p.Inject(carry(t, t.Context(), "region", strings.Repeat("r", 8000), "tenant", strings.Repeat("t", 200)), sent)
		if got := sent["baggage"]; len(got) != len("region=")+8000 {
			t.Errorf("got %d bytes, want those of the first key", len(got))
		}
	})

	acme := map[string]string{"tenant": "acme"}
	both := map[string]string{"tenant": "acme", "region": "eu"}
	for name, c := range map[string]struct {
		headers []string
		want    map[string]string
	}{
		"ListedKeysAlone":      {[]string{"secret=s3cr3t,tenant=acme,user=42"}, acme},
		"SpacesAndProperties":  {[]string{" tenant = acme ;p=1; q , region=eu"}, both},
		"SeveralHeaders":       {[]string{"tenant=acme", "region=eu"}, both},
		"TheLastOfAKey":        {[]string{"tenant=a,tenant=b"}, map[string]string{"tenant": "b"}},
		"WithoutTheIllFormed":  {[]string{"tenant=\"x,region=eu,=,,tenant"}, map[string]string{"region": "eu"}},
		"AsManyBytesAsAllowed": {[]string{"tenant=acme,secret=" + strings.Repeat("x", 8192-19)}, acme},
		"NotOneMore":           {[]string{"tenant=acme,secret=" + strings.Repeat("x", 8192-18)}, nil},
		"NotOneMoreInAll":      {[]string{"tenant=acme", "secret=" + strings.Repeat("x", 8192-18)}, nil},
		"AnyNumberOfOthers":    {[]string{strings.Repeat("a=1,", 1000) + "tenant=acme"}, acme},
		"None":                 {nil, nil},
		"Empty":                {[]string{""}, nil},
	} {
		t.Run("TakesIn/"+name, func(t *testing.T) {
			for carrier, from := range map[string]propagation.TextMapCarrier{
				"header": propagation.HeaderCarrier{"Baggage": c.headers}, "values": many{values: c.headers},
			} {
				if got := bag(p.Extract(t.Context(), from)); !maps.Equal(got, c.want) {
					t.Errorf("%s: got %v, want %v", carrier, got, c.want)
				}
			}
			if len(c.headers) == 1 {
				from := propagation.MapCarrier{"baggage": c.headers[0]}
				if got := bag(p.Extract(t.Context(), from)); !maps.Equal(got, c.want) {
					t.Errorf("map: got %v, want %v", got, c.want)
				}
			}
		})
	}

	t.Run("StaysWhereNoneComes", func(t *testing.T) {
		ctx := carry(t, t.Context(), "tenant", "acme")
		for _, header := range []string{"", "user=42", "tenant"} {
			if got := bag(p.Extract(ctx, propagation.MapCarrier{"baggage": header})); !maps.Equal(got, acme) {
				t.Errorf("%q: got %v, want %v still", header, got, acme)
			}
		}
	})

	t.Run("PassesThroughAsItCame", func(t *testing.T) {
		const came = "tenant=a%20b;p=1;q"
		sent := http.Header{}
		ctx := p.Extract(t.Context(), propagation.HeaderCarrier{"Baggage": {"user=1," + came}})
		p.Inject(ctx, propagation.HeaderCarrier(sent))
		if got := sent.Get("baggage"); got != came {
			t.Errorf("got %q, want %q", got, came)
		}
	})

	t.Run("CostsNothingWhereThereIsNone", func(t *testing.T) {
		ctx, empty := remote(t.Context(), true), propagation.MapCarrier{}
		header := propagation.HeaderCarrier(http.Header{"Traceparent": {"00-01-01-01"}})
		for name, f := range map[string]func(p propagation.TextMapPropagator){
			"Inject":        func(p propagation.TextMapPropagator) { p.Inject(ctx, empty) },
			"Extract":       func(p propagation.TextMapPropagator) { p.Extract(ctx, empty) },
			"ExtractHeader": func(p propagation.TextMapPropagator) { p.Extract(ctx, header) },
		} {
			got := testing.AllocsPerRun(100, func() { f(p) })
			want := testing.AllocsPerRun(100, func() { f(propagation.TraceContext{}) })
			if got != want {
				t.Errorf("%s: got %v allocations, want those of trace context, %v", name, got, want)
			}
		}
	})
}

// many is a carrier with several values for a key.
type many struct {
	propagation.MapCarrier
	values []string
}

func (m many) Values(key string) []string {
	if key != "baggage" {
		return nil
	}
	return m.values
}

func FuzzBaggage(f *testing.F) {
	f.Add("tenant=acme,secret=x;p=1")
	f.Add("tenant=%zz,,=;tenant = a")
	p := propagator(f, tracing.Options{Baggage: []string{"tenant", "region"}})
	f.Fuzz(func(t *testing.T, header string) {
		ctx := p.Extract(t.Context(), propagation.MapCarrier{"baggage": header})
		got := bag(ctx)
		for key := range got {
			if key != "tenant" && key != "region" {
				t.Errorf("took in %q, which is not listed", key)
			}
		}
		sent := propagation.MapCarrier{}
		p.Inject(ctx, sent)
		if n := len(sent["baggage"]); n > 8192 {
			t.Errorf("sent %d bytes, want 8192 at most", n)
		}
		again := bag(p.Extract(t.Context(), sent))
		for key, value := range again {
			if value != got[key] {
				t.Errorf("%s: got %q on the next service, want %q", key, value, got[key])
			}
		}
	})
}

func BenchmarkPropagator(b *testing.B) {
	p := propagator(b, tracing.Options{Baggage: []string{"region", "tenant"}})
	ctx := remote(b.Context(), true)
	with := carry(b, ctx, "tenant", "acme", "user", "42")
	header := func(c context.Context) propagation.HeaderCarrier {
		h := propagation.HeaderCarrier{}
		propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{}).Inject(c, h)
		return h
	}
	for name, c := range map[string]struct {
		p   propagation.TextMapPropagator
		ctx context.Context
	}{
		"TraceContext": {propagation.TraceContext{}, ctx}, "Absent": {p, ctx}, "Present": {p, with},
	} {
		b.Run("Inject/"+name, func(b *testing.B) {
			to := propagation.HeaderCarrier{}
			b.ReportAllocs()
			for b.Loop() {
				c.p.Inject(c.ctx, to)
			}
		})
		b.Run("Extract/"+name, func(b *testing.B) {
			from, ctx := header(c.ctx), context.Background()
			b.ReportAllocs()
			for b.Loop() {
				c.p.Extract(ctx, from)
			}
		})
	}
}
