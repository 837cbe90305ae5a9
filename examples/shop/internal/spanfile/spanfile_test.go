package spanfile_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/mainstay-go/mainstay/examples/shop/internal/spanfile"
)

func all(spanfile.Span) bool { return true }

// write makes a parent and a child span in the file at path, under service's name.
func write(t *testing.T, path, service string) {
	t.Helper()
	e, err := spanfile.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	tp := sdktrace.NewTracerProvider(sdktrace.WithBatcher(e),
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", service))))
	ctx, parent := tp.Tracer("t").Start(t.Context(), "parent", trace.WithSpanKind(trace.SpanKindServer))
	_, child := tp.Tracer("t").Start(ctx, "child", trace.WithAttributes(attribute.Int("n", 7)),
		trace.WithLinks(trace.LinkFromContext(ctx)))
	child.SetStatus(codes.Error, "broken")
	child.End()
	parent.End()
	if err := tp.Shutdown(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
}

func TestSpans(t *testing.T) {
	t.Run("ComeBackAsTheyWere", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "spans")
		write(t, path, "orders")
		spans, err := spanfile.Read(all, path)
		if err != nil || len(spans) != 2 {
			t.Fatalf("Read = %d spans, %v, want 2, nil", len(spans), err)
		}
		p, c := spans[0], spans[1]
		if p.Name != "parent" || p.Kind != "server" || p.Service != "orders" || p.ParentID != "" || p.Error != "" {
			t.Errorf("first span = %+v, want the parent", p)
		}
		if c.ParentID != p.SpanID || c.TraceID != p.TraceID || c.Attrs["n"] != "7" || c.Error != "broken" {
			t.Errorf("second span = %+v, want the child of %s", c, p.SpanID)
		}
		if len(c.Links) != 1 || c.Links[0] != p.SpanID {
			t.Errorf("links = %q, want one to %s", c.Links, p.SpanID)
		}
	})
	t.Run("OfARestartedProcessAreAppended", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "spans")
		write(t, path, "orders")
		write(t, path, "orders")
		if spans, err := spanfile.Read(all, path); err != nil || len(spans) != 4 {
			t.Errorf("Read = %d spans, %v, want 4, nil", len(spans), err)
		}
	})
	t.Run("OfAKilledProcessLoseOnlyTheCutLine", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "spans")
		write(t, path, "orders")
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data[:len(data)-9], 0o600); err != nil {
			t.Fatal(err)
		}
		if spans, err := spanfile.Read(all, path); err != nil || len(spans) != 1 {
			t.Errorf("Read = %d spans, %v, want 1, nil", len(spans), err)
		}
	})
	t.Run("CanBeChosen", func(t *testing.T) {
		dir := t.TempDir()
		a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
		write(t, a, "orders")
		write(t, b, "users")
		spans, err := spanfile.Read(func(s spanfile.Span) bool { return s.Service == "users" }, a, b)
		if err != nil || len(spans) != 2 {
			t.Errorf("Read = %d spans, %v, want 2, nil", len(spans), err)
		}
	})
}
