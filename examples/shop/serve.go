package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/mainstay-go/mainstay"
	"github.com/mainstay-go/mainstay/examples/shop/internal/natsd"
	"github.com/mainstay-go/mainstay/examples/shop/internal/platform"
	"github.com/mainstay-go/mainstay/tracing/logging"
)

// options say how all services run in one process.
type options struct {
	broker, db, secretFile, otlp, trust string
	traceRatio                          float64
	logs, out                           io.Writer
	// exporter gets every service's spans, in place of otlp. Nil means the latter does.
	exporter sdktrace.SpanExporter
	// opened is called once every service is ready. Nil means nothing is.
	opened func(site)
}

// flushTimeout is each service's share of the grace period that all of them have together.
const flushTimeout = time.Second

// site is where everything is, by service.
type site struct{ http, grpc, admin, db map[string]string }

// serve runs all services until ctx ends or a signal comes, and leaves nothing behind.
func serve(ctx context.Context, o options) (err error) {
	dir, err := os.MkdirTemp("", "mainstay-shop-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if o.broker == "" {
		server, err := natsd.Start(filepath.Join(dir, "nats"))
		if err != nil {
			return err
		}
		defer server.Stop()
		o.broker = server.URL()
	}
	at, err := locate(ctx, o.db, dir)
	if err != nil {
		return err
	}
	var runners []mainstay.Runner
	for _, s := range services() {
		p, err := platform.New(ctx, at.config(s.name, o), &platform.Options{
			Logs: o.logs, Exporter: o.exporter, FlushTimeout: flushTimeout,
		})
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		defer func() { err = errors.Join(err, p.Close()) }()
		rs, err := p.Wire(ctx, s.wire)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		runners = append(runners, rs...)
	}
	open := func(context.Context) error {
		welcome(o.out, at)
		if o.opened != nil {
			o.opened(at)
		}
		return nil
	}
	log := logging.New(o.logs, &logging.Options{Format: logging.Text}).With("service", "shop")
	return mainstay.Run(ctx, &mainstay.Options{Logger: log}, append(runners, mainstay.Once(open))...)
}

// locate finds a place for everything.
func locate(ctx context.Context, db, dir string) (site, error) {
	at := site{http: map[string]string{}, grpc: map[string]string{}, admin: map[string]string{}}
	var err error
	if at.db, err = platform.Databases(ctx, db, dir, names()); err != nil {
		return at, err
	}
	addrs, err := platform.FreeAddrs(3 * len(names()))
	if err != nil {
		return at, err
	}
	for i, name := range names() {
		at.http[name], at.grpc[name], at.admin[name] = addrs[3*i], addrs[3*i+1], addrs[3*i+2]
	}
	return at, nil
}

// config is what one service is told: as much as if it had a process of its own.
func (at site) config(name string, o options) platform.Config {
	return platform.Config{
		Name: name,
		HTTP: at.http[name], GRPC: at.grpc[name], Admin: at.admin[name],
		Broker: o.broker, DB: at.db[name],
		UsersURL: "http://" + at.http["users"], CatalogAddr: at.grpc["catalog"],
		Trust: o.trust, SecretFile: o.secretFile,
		OTLP: o.otlp, TraceRatio: o.traceRatio,
		LogFormat: "text",
	}
}

// welcome says where everything is, and what to try.
func welcome(w io.Writer, at site) {
	fmt.Fprintf(w, "\nThe shop is open.\n\n")
	fmt.Fprintf(w, "  orders         http://%s\n", at.http["orders"])
	fmt.Fprintf(w, "  users          http://%s (needs an internal token)\n", at.http["users"])
	fmt.Fprintf(w, "  catalog        grpc://%s (needs an internal token)\n", at.grpc["catalog"])
	fmt.Fprintf(w, "\nPlace an order, and see it paid a moment later:\n\n")
	fmt.Fprintf(w, "  curl -i http://%s/orders -H 'Idempotency-Key: my-first' -H 'Content-Type: application/json' \\\n"+
		"    -d '{\"customer_id\":\"alice\",\"sku\":\"tea\",\"quantity\":2}'\n", at.http["orders"])
	fmt.Fprintf(w, "  curl http://%s/orders/ID\n", at.http["orders"])
	fmt.Fprintf(w, "\nAdmin pages (metrics, health, pprof, log level):\n\n")
	for _, name := range names() {
		fmt.Fprintf(w, "  %-14s http://%s/\n", name, at.admin[name])
	}
	fmt.Fprintf(w, "\nCtrl-C closes the shop.\n\n")
}
