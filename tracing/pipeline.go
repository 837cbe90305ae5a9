package tracing

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// reportEvery bounds how often lost spans are logged.
const reportEvery = time.Minute

// errTooMany is what a report says when the exporter has returned no error.
var errTooMany = errors.New("more spans than the exporter keeps up with")

// pipeline is the way of a span from its end to the exporter: the SDK's batch processor, with an account of what goes
// in at one end and comes out at the other. By itself the SDK drops spans silently and prints the errors of exporters
// to standard error.
type pipeline struct {
	sdktrace.SpanProcessor // the SDK's batch processor, which exports to this pipeline's exporter
	log                    *slog.Logger

	pending atomic.Int64 // spans taken in, of which the exporter has not said yet what became of them
	dropped atomic.Int64 // spans not taken in, or abandoned
	failed  atomic.Int64 // spans that the exporter returned an error for

	mu        sync.Mutex
	cancel    context.CancelFunc // ends the export under way, nil where there is none
	abandoned bool
	cause     error     // the exporter's latest error since the last report
	reported  int64     // how many of the lost spans the log knows
	at        time.Time // since when
}

func newPipeline(e sdktrace.SpanExporter, log *slog.Logger) *pipeline {
	p := &pipeline{log: log}
	p.SpanProcessor = sdktrace.NewBatchSpanProcessor(&exporter{e, p},
		sdktrace.WithMaxQueueSize(maxPending), sdktrace.WithMaxExportBatchSize(maxBatch),
		sdktrace.WithBatchTimeout(batchDelay), sdktrace.WithExportTimeout(exportTimeout))
	return p
}

// OnEnd takes s in, or drops it where maxPending are waiting. It never blocks.
func (p *pipeline) OnEnd(s sdktrace.ReadOnlySpan) {
	// The processor's own queue is as long, so that it never has to drop one, unseen.
	if p.pending.Add(1) > maxPending {
		p.pending.Add(-1)
		p.dropped.Add(1)
		return
	}
	p.SpanProcessor.OnEnd(s)
}

func (p *pipeline) lost() int64 { return p.dropped.Load() + p.failed.Load() }

// begin notes an export that cancel ends. It reports false after the pipeline was abandoned.
func (p *pipeline) begin(cancel context.CancelFunc) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cancel = cancel
	return !p.abandoned
}

// settle notes what became of an export of n spans. After the pipeline was abandoned they are counted already.
func (p *pipeline) settle(n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cancel = nil
	if p.abandoned {
		return
	}
	p.pending.Add(-int64(n))
	if err != nil {
		p.failed.Add(int64(n))
		p.cause = err
	}
}

// abandon gives up all that is pending, and ends the export under way.
func (p *pipeline) abandon() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.abandoned = true
	p.dropped.Add(p.pending.Swap(0))
	if p.cancel != nil {
		p.cancel()
	}
}

// report logs how many spans were lost since the last report, when that is long enough ago, or now.
func (p *pipeline) report(now bool) {
	p.mu.Lock()
	lost, cause := p.lost(), p.cause
	n := lost - p.reported
	if n == 0 || p.abandoned && !now || !now && !p.at.IsZero() && time.Since(p.at) < reportEvery {
		p.mu.Unlock()
		return
	}
	p.reported, p.at, p.cause = lost, time.Now(), nil
	p.mu.Unlock()
	if cause == nil {
		cause = errTooMany
	}
	p.log.Warn("tracing: spans were lost", "spans", n, "error", cause)
}

// exporter is the user's exporter as the batch processor sees it: one that never fails, and that the pipeline can cut
// short. The processor would let the last exports run to their own time-outs, one after the other.
type exporter struct {
	sdktrace.SpanExporter
	p *pipeline
}

// ExportSpans exports spans and settles their account. The processor calls it once at a time.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if !e.p.begin(cancel) {
		return nil
	}
	e.p.settle(len(spans), e.SpanExporter.ExportSpans(ctx, spans))
	e.p.report(false)
	return nil
}
