package tracing

import (
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// priorityKey is the attribute that forces sampling, by the name that OpenTracing's semantic conventions gave it. The
// kit's servers set it for trusted callers who ask for it. They do not import this package, and spell it themselves.
const priorityKey = "sampling.priority"

func newSampler(ratio float64) sdktrace.Sampler {
	if ratio == 0 {
		ratio = 1
	}
	return forced{sdktrace.ParentBased(sdktrace.TraceIDRatioBased(ratio))}
}

// forced keeps what starts with a priority of 1 or more, and leaves the rest to another sampler.
type forced struct{ sdktrace.Sampler }

func (f forced) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	if !hasPriority(p.Attributes) {
		return f.Sampler.ShouldSample(p)
	}
	return sdktrace.SamplingResult{
		Decision:   sdktrace.RecordAndSample,
		Tracestate: trace.SpanContextFromContext(p.ParentContext).TraceState(),
	}
}

func hasPriority(attrs []attribute.KeyValue) bool {
	for i := range attrs {
		// A value that is no integer is none.
		if a := &attrs[i]; a.Key == priorityKey && a.Value.Type() == attribute.INT64 && a.Value.AsInt64() >= 1 {
			return true
		}
	}
	return false
}

// Description names the sampler, as the SDK asks of one.
func (f forced) Description() string { return "Forced{" + f.Sampler.Description() + "}" }
