// Package spanfile writes finished spans as JSON, one a line, and reads them back: enough of a tracing backend to tell
// one order's story without installing one. A real shop gives tracing.Setup an OTLP exporter instead.
package spanfile

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// Span is one line of a file.
type Span struct {
	TraceID  string            `json:"trace_id"`
	SpanID   string            `json:"span_id"`
	ParentID string            `json:"parent_id,omitempty"` // "" for the first span of a trace
	Service  string            `json:"service"`
	Name     string            `json:"name"`
	Kind     string            `json:"kind"` // "server", "client", "producer", "consumer" or "internal"
	Start    time.Time         `json:"start"`
	Duration time.Duration     `json:"duration_ns"`
	Attrs    map[string]string `json:"attrs,omitempty"`
	Links    []string          `json:"links,omitempty"` // span IDs
	Error    string            `json:"error,omitempty"` // what the status says where the span failed
}

// Exporter is an sdktrace.SpanExporter. It is safe for concurrent use, and several processes may append to one file
// each.
type Exporter struct {
	mu sync.Mutex
	w  io.WriteCloser
}

// Open appends to the file at path, which it creates where it is missing.
func Open(path string) (*Exporter, error) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("spanfile: %w", err)
	}
	return &Exporter{w: f}, nil
}

// ExportSpans writes spans. It writes a batch in one call, so that a process killed between two of them leaves whole
// lines.
func (e *Exporter) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	var lines []byte
	for _, s := range spans {
		line, err := json.Marshal(FromSDK(s))
		if err != nil {
			return fmt.Errorf("spanfile: %w", err)
		}
		lines = append(append(lines, line...), '\n')
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, err := e.w.Write(lines); err != nil {
		return fmt.Errorf("spanfile: %w", err)
	}
	return nil
}

// Shutdown closes the file.
func (e *Exporter) Shutdown(context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.w.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("spanfile: %w", err)
	}
	return nil
}

// FromSDK returns what a file keeps of s.
func FromSDK(s sdktrace.ReadOnlySpan) Span {
	out := Span{
		TraceID: s.SpanContext().TraceID().String(), SpanID: s.SpanContext().SpanID().String(),
		Name: s.Name(), Kind: s.SpanKind().String(), Start: s.StartTime(), Duration: s.EndTime().Sub(s.StartTime()),
	}
	if st := s.Status(); st.Code == codes.Error {
		out.Error = cmp.Or(st.Description, "error")
	}
	for _, l := range s.Links() {
		out.Links = append(out.Links, l.SpanContext.SpanID().String())
	}
	if s.Parent().SpanID().IsValid() {
		out.ParentID = s.Parent().SpanID().String()
	}
	for _, a := range s.Resource().Attributes() {
		if a.Key == "service.name" {
			out.Service = a.Value.String()
		}
	}
	for _, a := range s.Attributes() {
		if out.Attrs == nil {
			out.Attrs = make(map[string]string, len(s.Attributes()))
		}
		out.Attrs[string(a.Key)] = a.Value.String()
	}
	return out
}

// Read returns the spans of the files at paths that keep returns true for, the earliest first. A line that is cut
// short, as the last one of a killed process may be, is left out.
func Read(keep func(Span) bool, paths ...string) ([]Span, error) {
	var spans []Span
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("spanfile: %w", err)
		}
		spans, err = readLines(spans, f, keep)
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("spanfile: read %s: %w", path, err)
		}
	}
	slices.SortStableFunc(spans, func(a, b Span) int {
		return cmp.Or(a.Start.Compare(b.Start), b.Start.Add(b.Duration).Compare(a.Start.Add(a.Duration)))
	})
	return spans, nil
}

func readLines(spans []Span, r io.Reader, keep func(Span) bool) ([]Span, error) {
	br := bufio.NewReader(r)
	for {
		line, err := br.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return spans, nil
		}
		if err != nil {
			return nil, err
		}
		var s Span
		if json.Unmarshal(line, &s) == nil && keep(s) {
			spans = append(spans, s)
		}
	}
}
