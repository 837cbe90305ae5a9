// Command otellogs is a job whose log lines go to standard error and, by OpenTelemetry's bridge for log/slog, to a
// collector: the same lines, with the same IDs, and without the same secrets.
package main

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"os"
	"time"

	"go.opentelemetry.io/contrib/bridges/otelslog"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	sdklog "go.opentelemetry.io/otel/sdk/log"

	"github.com/mainstay-go/mainstay/tracing"
	"github.com/mainstay-go/mainstay/tracing/correlation"
	"github.com/mainstay-go/mainstay/tracing/logging"
)

func main() {
	collector := flag.String("otlp", "http://127.0.0.1:4318", "URL of the collector")
	flag.Parse()
	if err := run(context.Background(), *collector); err != nil {
		slog.Error("ended", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, collector string) (err error) {
	exporter, err := otlploghttp.New(ctx, otlploghttp.WithEndpointURL(collector+"/v1/logs"))
	if err != nil {
		return err
	}
	provider := sdklog.NewLoggerProvider(sdklog.WithProcessor(sdklog.NewBatchProcessor(exporter)))
	defer func() { // sends what is left
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		err = errors.Join(err, provider.Shutdown(ctx))
	}()
	bridge := otelslog.NewHandler("import", otelslog.WithLoggerProvider(provider))
	logger := logging.New(os.Stderr, &logging.Options{Also: []slog.Handler{bridge}})

	spans, err := tracing.Setup(ctx, &tracing.Options{ServiceName: "import", Logger: logger})
	if err != nil {
		return err
	}
	ctx, span := spans.TracerProvider().Tracer("import").Start(correlation.NewContext(ctx, "nightly-1"), "import")
	defer span.End()
	logger.WithGroup("source").InfoContext(ctx, "prices imported", "file", "prices.csv", "rows", 42, "token", "hunter2")
	return nil
}
