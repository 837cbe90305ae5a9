package logging

import (
	"encoding/binary"
	"encoding/hex"
	"log/slog"
	"slices"
	"strconv"

	"go.opentelemetry.io/otel/trace"

	"github.com/mainstay-go/mainstay/tracing/correlation"
)

// Fields says what the fields of a record are called, so that a log store finds in them what it knows.
type Fields uint8

const (
	// Plain is slog's time, level, msg and source, and trace_id and span_id in hexadecimal, as in the OpenTelemetry
	// specification, "Trace Context in non-OTLP Log Formats"; the default.
	Plain Fields = iota
	// GCP is for Google Cloud Logging, docs "Structured logging", special JSON fields: time, severity, message,
	// logging.googleapis.com/sourceLocation, and logging.googleapis.com/trace, spanId and trace_sampled. The trace is
	// its bare ID, which is what Google's agents take from stdout and stderr.
	GCP
	// Datadog is for Datadog, docs "Pipelines", preprocessing for JSON logs, and "Connect OpenTelemetry Traces and
	// Logs": timestamp, status, message, and dd.trace_id and dd.span_id in decimal, of the trace's ID the lower 64 bits.
	// The source is source_location: their source is a reserved name for something else.
	Datadog
)

// Names of the trace's IDs.
const (
	traceAttr, spanAttr               = "trace_id", "span_id"
	gcpTraceAttr, gcpSpanAttr         = "logging.googleapis.com/trace", "logging.googleapis.com/spanId"
	gcpSampledAttr                    = "logging.googleapis.com/trace_sampled"
	datadogTraceAttr, datadogSpanAttr = "dd.trace_id", "dd.span_id"
)

// idSet says which of the IDs are there.
type idSet uint8

const (
	hasCorrelation idSet = 1 << iota
	hasTrace
	hasSpan
	hasSampled
)

// id returns which of the IDs f calls key.
func (f Fields) id(key string) idSet {
	switch key {
	case correlation.Attr:
		return hasCorrelation
	case traceAttr:
		return f.only(Plain, hasTrace)
	case spanAttr:
		return f.only(Plain, hasSpan)
	case gcpTraceAttr:
		return f.only(GCP, hasTrace)
	case gcpSpanAttr:
		return f.only(GCP, hasSpan)
	case gcpSampledAttr:
		return f.only(GCP, hasSampled)
	case datadogTraceAttr:
		return f.only(Datadog, hasTrace)
	case datadogSpanAttr:
		return f.only(Datadog, hasSpan)
	}
	return 0
}

// ids returns which of the IDs are among attrs.
func (f Fields) ids(attrs []slog.Attr) (s idSet) {
	for i := range attrs {
		if key := attrs[i].Key; len(key) >= len(spanAttr) { // the shortest of them
			s |= f.id(key)
		}
	}
	return s
}

// once takes the IDs out of attrs that are given, or come twice: the first of them stays.
func (f Fields) once(attrs []slog.Attr, given idSet) []slog.Attr {
	return slices.DeleteFunc(attrs, func(a slog.Attr) bool {
		id := f.id(a.Key)
		twice := id&given != 0
		given |= id
		return twice
	})
}

// only returns id when f is want.
func (f Fields) only(want Fields, id idSet) idSet {
	if f != want {
		return 0
	}
	return id
}

// appendTrace appends what sc says that is not given. Both IDs are in one string: one allocation, not two.
func (f Fields) appendTrace(attrs []slog.Attr, sc trace.SpanContext, given idSet) []slog.Attr {
	traceKey, spanKey, sampledKey := traceAttr, spanAttr, ""
	switch f {
	case Datadog:
		ids, end := decimal(sc)
		return appendIDs(attrs, datadogTraceAttr, datadogSpanAttr, ids, end, given)
	case GCP:
		traceKey, spanKey, sampledKey = gcpTraceAttr, gcpSpanAttr, gcpSampledAttr
	}
	traceID, spanID := sc.TraceID(), sc.SpanID()
	const end = 2 * len(traceID)
	var digits [end + 2*len(spanID)]byte
	hex.Encode(digits[:end], traceID[:])
	hex.Encode(digits[end:], spanID[:])
	attrs = appendIDs(attrs, traceKey, spanKey, string(digits[:]), end, given)
	if sampledKey != "" && given&hasSampled == 0 {
		attrs = append(attrs, slog.Bool(sampledKey, sc.IsSampled()))
	}
	return attrs
}

// decimal returns the lower 64 bits of the trace's ID and the span's ID as decimal digits, and where the first end.
func decimal(sc trace.SpanContext) (ids string, end int) {
	traceID, spanID := sc.TraceID(), sc.SpanID()
	var room [2 * len("18446744073709551615")]byte // math.MaxUint64
	digits := strconv.AppendUint(room[:0], binary.BigEndian.Uint64(traceID[8:]), 10)
	return string(strconv.AppendUint(digits, binary.BigEndian.Uint64(spanID[:]), 10)), len(digits)
}

// appendIDs appends those of a trace's ID and a span's that are not given. The first ends at end.
func appendIDs(attrs []slog.Attr, traceKey, spanKey, ids string, end int, given idSet) []slog.Attr {
	if given&hasTrace == 0 {
		attrs = append(attrs, slog.String(traceKey, ids[:end]))
	}
	if given&hasSpan == 0 {
		attrs = append(attrs, slog.String(spanKey, ids[end:]))
	}
	return attrs
}

// replace returns what slog's handlers shall do with each attribute to write the fields as f has them: nothing for
// Plain. An attribute of the program that has slog's name of a field, but another type of value, stays.
func (f Fields) replace() func([]string, slog.Attr) slog.Attr {
	if f != GCP && f != Datadog {
		return nil
	}
	timeKey, levelKey, msgKey, sourceKey := "time", "severity", "message", "logging.googleapis.com/sourceLocation"
	if f == Datadog {
		timeKey, levelKey, sourceKey = "timestamp", "status", "source_location"
	}
	return func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) > 0 {
			return a
		}
		switch a.Key {
		case slog.TimeKey:
			if a.Value.Kind() == slog.KindTime {
				a.Key = timeKey
			}
		case slog.MessageKey:
			if a.Value.Kind() == slog.KindString {
				a.Key = msgKey
			}
		case slog.LevelKey:
			if level, ok := a.Value.Any().(slog.Level); ok {
				return slog.String(levelKey, f.level(level))
			}
		case slog.SourceKey:
			if source, ok := a.Value.Any().(*slog.Source); ok {
				return f.source(sourceKey, source)
			}
		}
		return a
	}
}

// level returns what f calls a level: the nearest below that has a name.
func (f Fields) level(level slog.Level) string {
	name := [...]string{"debug", "info", "warning", "error"} // Datadog, "Log status remapper"
	if f == GCP {
		name = [...]string{"DEBUG", "INFO", "WARNING", "ERROR"} // google.logging.type.LogSeverity
	}
	switch {
	case level < slog.LevelInfo:
		return name[0]
	case level < slog.LevelWarn:
		return name[1]
	case level < slog.LevelError:
		return name[2]
	default:
		return name[3]
	}
}

// source returns the place in the source as f has it, or nothing when it is not known.
func (f Fields) source(key string, s *slog.Source) slog.Attr {
	switch {
	case s == nil || *s == (slog.Source{}):
		return slog.Attr{}
	case f == GCP: // google.logging.v2.LogEntrySourceLocation: an int64 is a string in JSON
		return slog.GroupAttrs(key, slog.String("file", s.File), slog.String("line", strconv.Itoa(s.Line)),
			slog.String("function", s.Function))
	default:
		return slog.Any(key, s)
	}
}
