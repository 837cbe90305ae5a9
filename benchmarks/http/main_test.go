package main

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"
)

// TestMain leaves out what go-zero starts by being linked, and ends when nothing has come for a while.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent(),
		goleak.IgnoreAnyFunction("github.com/zeromicro/go-zero/core/executors.(*PeriodicalExecutor).backgroundFlush.func1"))
}

func tokens(t testing.TB) (good, weak string) {
	t.Helper()
	good, err := newToken(scope)
	if err != nil {
		t.Fatal(err)
	}
	if weak, err = newToken(); err != nil {
		t.Fatal(err)
	}
	return good, weak
}

func TestRun(t *testing.T) {
	var out strings.Builder
	short := effort{costPairs: 1, loadPairs: 1, costTime: time.Millisecond, loadTime: 10 * time.Millisecond}
	if err := run(t.Context(), &out, short); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(out.String(), "\ntarget: "); got != 12 {
		t.Errorf("got %d target lines in\n%s\nwant 12", got, out.String())
	}
}

func TestCheckHandlers(t *testing.T) {
	token, weak := tokens(t)
	kit, err := kitHandler(discarded())
	if err != nil {
		t.Fatal(err)
	}
	twisted := func(status int, change func(w http.ResponseWriter)) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			kit.ServeHTTP(&twist{ResponseWriter: w, status: status, change: change}, r)
		})
	}
	for name, other := range map[string]http.Handler{
		"Status": twisted(http.StatusUnauthorized, func(w http.ResponseWriter) { w.WriteHeader(http.StatusTeapot) }),
		"Header": twisted(http.StatusCreated, func(w http.ResponseWriter) { w.Header().Set("X-Other", "1") }),
		"Body":   twisted(http.StatusCreated, func(w http.ResponseWriter) { _, _ = w.Write([]byte(" ")) }),
	} {
		t.Run("SeesAnother"+name, func(t *testing.T) {
			if err := checkHandlers(kit, other, token, weak); err == nil {
				t.Error("got nil, want what differs")
			}
		})
	}
	if err := checkHandlers(kit, kit, token, weak); err != nil {
		t.Errorf("beside itself: got %v, want nil", err)
	}
}

// twist changes answers of one status.
type twist struct {
	http.ResponseWriter
	status int
	change func(http.ResponseWriter)
}

func (w *twist) WriteHeader(status int) {
	if status == w.status {
		w.change(w.ResponseWriter)
	}
	w.ResponseWriter.WriteHeader(status)
}

// observed is what a side left of one request, in words that both share.
type observed struct {
	SpanName, SpanStatus string
	Trace, Parent        string
	Attributes           map[string]string
	Log                  map[string]any
	Samples              uint64
	Labels               []string
	Exemplar             string
	Active               float64
}

// renamed are labels that promhttp has names of its own for.
var renamed = map[string]string{"method": "http_request_method", "route": "http_route", "code": "http_response_status_code"}

func observe(t *testing.T, build func(telemetry) (http.Handler, error), change func(*http.Request)) (observed, answer) {
	t.Helper()
	spans, logs := tracetest.NewSpanRecorder(), &bytes.Buffer{}
	tel := newTelemetry(spans, logs)
	h, err := build(tel)
	if err != nil {
		t.Fatal(err)
	}
	token, _ := tokens(t)
	a, err := ask(h, token, variant{change: change})
	if err != nil {
		t.Fatal(err)
	}
	var o observed
	for _, s := range spans.Ended() {
		o.SpanName, o.SpanStatus = s.Name(), s.Status().Code.String()
		o.Trace, o.Parent = s.SpanContext().TraceID().String(), s.Parent().SpanID().String()
		o.Attributes = map[string]string{}
		for _, kv := range s.Attributes() {
			o.Attributes[string(kv.Key)] = kv.Value.String()
		}
	}
	if err := json.Unmarshal(logs.Bytes(), &o.Log); err != nil {
		t.Fatalf("log %q: %v", logs, err)
	}
	readMetrics(t, tel.metrics, &o)
	return o, a
}

func readMetrics(t *testing.T, g prometheus.Gatherer, o *observed) {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetType() == dto.MetricType_COUNTER {
			continue // the kit's count of label values past their bound, which is no sample
		}
		for _, m := range f.GetMetric() {
			if f.GetType() == dto.MetricType_GAUGE {
				o.Active += m.GetGauge().GetValue()
				continue
			}
			o.Samples += m.GetHistogram().GetSampleCount()
			for _, l := range m.GetLabel() {
				name := l.GetName()
				if other, ok := renamed[name]; ok {
					name = other
				}
				o.Labels = append(o.Labels, name+"="+strings.ToUpper(l.GetValue()))
			}
			for _, b := range m.GetHistogram().GetBucket() {
				for _, l := range b.GetExemplar().GetLabel() {
					o.Exemplar = l.GetValue()
				}
			}
		}
	}
	slices.Sort(o.Labels)
}

// TestSides holds that no side saves work that the other does.
func TestSides(t *testing.T) {
	t.Run("RecordTheSame", func(t *testing.T) {
		kit, _ := observe(t, kitHandler, func(*http.Request) {})
		hand, _ := observe(t, byHandHandler, func(*http.Request) {})
		for name, o := range map[string]observed{"kit": kit, "by hand": hand} {
			if want := "POST /customers/{customer}/orders"; o.SpanName != want {
				t.Errorf("%s: span: got %q, want %q", name, o.SpanName, want)
			}
			if want := sampled[3:35]; o.Trace != want || o.Exemplar != want || o.Log["trace_id"] != want {
				t.Errorf("%s: trace: got %q in the span, %q in the exemplar, %q in the log, want %q",
					name, o.Trace, o.Exemplar, o.Log["trace_id"], want)
			}
			if o.Samples != 1 || o.Active != 0 {
				t.Errorf("%s: got %d samples and %v active requests, want 1 and 0", name, o.Samples, o.Active)
			}
			if got := o.Log["correlation_id"]; got != correlation {
				t.Errorf("%s: correlation ID: got %q, want %q", name, got, correlation)
			}
		}
		if !slices.Equal(kit.Labels, hand.Labels) {
			t.Errorf("labels: kit %v, by hand %v", kit.Labels, hand.Labels)
		}
		if k, h := slices.Sorted(maps.Keys(kit.Log)), slices.Sorted(maps.Keys(hand.Log)); !slices.Equal(k, h) {
			t.Errorf("log: kit has %v, by hand %v", k, h)
		}
		// otelhttp adds what the kit leaves to the access log.
		delete(hand.Attributes, "http.request.body.size")
		delete(hand.Attributes, "http.response.body.size")
		if !maps.Equal(kit.Attributes, hand.Attributes) {
			t.Errorf("span: kit has %v, by hand %v", kit.Attributes, hand.Attributes)
		}
	})

	t.Run("SurvivePanics", func(t *testing.T) {
		change := func(r *http.Request) {
			const panics = `{"sku":"panic","quantity":1}`
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(panics)), int64(len(panics))
		}
		for name, build := range builders {
			o, a := observe(t, build, change)
			if a.status != http.StatusInternalServerError || o.Samples != 1 || o.Active != 0 || o.SpanStatus != "Error" {
				t.Errorf("%s: got %d, %d samples, %v active, span %s, want 500, 1, 0, Error",
					name, a.status, o.Samples, o.Active, o.SpanStatus)
			}
			if o.Log["level"] != "ERROR" || o.Log["status"] != 500.0 {
				t.Errorf("%s: got log %v, want an error with status 500", name, o.Log)
			}
		}
	})

	t.Run("LeaveNoSpanOfATraceThatIsNotKept", func(t *testing.T) {
		for name, build := range builders {
			o, _ := observe(t, build, func(r *http.Request) { r.Header.Set("Traceparent", unsampled) })
			if o.SpanName != "" || o.Exemplar != "" || o.Samples != 1 || o.Log["trace_id"] != unsampled[3:35] {
				t.Errorf("%s: got span %q, exemplar %q, %d samples, trace %q in the log, want none, none, 1, the caller's",
					name, o.SpanName, o.Exemplar, o.Samples, o.Log["trace_id"])
			}
		}
	})
}

var builders = map[string]func(telemetry) (http.Handler, error){"Kit": kitHandler, "ByHand": byHandHandler}

// BenchmarkOrder is for profiles; the comparison is the command's.
func BenchmarkOrder(b *testing.B) {
	token, _ := tokens(b)
	for name, build := range builders {
		for flag, traceparent := range map[string]string{"Sampled": sampled, "Unsampled": unsampled} {
			b.Run(name+flag, func(b *testing.B) {
				h, err := build(discarded())
				if err != nil {
					b.Fatal(err)
				}
				c, err := newOrderCaller(h, token, traceparent)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				for b.Loop() {
					if err := c.call(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
