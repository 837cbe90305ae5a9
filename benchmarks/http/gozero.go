package main

import (
	"net/http"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
	"github.com/zeromicro/go-zero/core/prometheus"
	"github.com/zeromicro/go-zero/core/stat"
	"github.com/zeromicro/go-zero/rest/chain"
	"github.com/zeromicro/go-zero/rest/handler"
	"github.com/zeromicro/go-zero/rest/router"
	"go.opentelemetry.io/otel"
)

// hushGoZero keeps go-zero, which is at work once it is linked, from printing how busy the machine is.
func hushGoZero() { stat.DisableLog() }

// goZeroStack is the chain that go-zero's rest.Server builds around a route by default, with its authentication, but
// for shedding, which looks at how busy the machine is, and a benchmark makes it so. It carries no correlation ID and
// checks neither issuer nor audience; it also has a breaker, a limit of connections and a time-out. Where its spans,
// logs and metrics go is the process's: it is told here.
func goZeroStack(t telemetry) (http.Handler, error) {
	otel.SetTracerProvider(t.tracer)
	logx.SetWriter(logx.NewWriter(t.logs))
	prometheus.Enable()
	const name = "users"
	metrics := stat.NewMetrics(name)
	chn := chain.New(
		handler.TraceHandler(name, "/users/:id"),
		handler.LogHandler,
		handler.PrometheusHandler("/users/:id", http.MethodGet),
		handler.MaxConnsHandler(10_000),
		handler.BreakerHandler(http.MethodGet, "/users/:id", metrics),
		handler.TimeoutHandler(3*time.Second),
		handler.RecoverHandler,
		handler.MetricHandler(metrics),
		handler.MaxBytesHandler(maxBody),
		handler.GunzipHandler,
		handler.Authorize(secret),
	)
	r := router.NewRouter()
	return r, r.Handle(http.MethodGet, "/users/:id", chn.ThenFunc(getUser))
}
