package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	gojwt "github.com/golang-jwt/jwt/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// byHandHandler is what the kit's side does, from the parts that a Go team reaches for.
func byHandHandler(t telemetry) (http.Handler, error) {
	r := chi.NewRouter()
	r.Use(byHandObserve(t)...)
	r.Use(authenticate(newParser()))
	r.With(requireScope(scope)).Post("/customers/{customer}/orders", postOrder)
	return byHandTrace(t, r), nil
}

// byHandObserve is what is recorded of a request, but for the span.
func byHandObserve(t telemetry) []func(http.Handler) http.Handler {
	return []func(http.Handler) http.Handler{
		middleware.RequestID,
		echoRequestID,
		accessLog(slog.New(slog.NewJSONHandler(t.logs, nil))),
		nameSpan,
		measure(t.metrics),
		middleware.Recoverer,
	}
}

// byHandTrace is outermost: the access log has its IDs.
func byHandTrace(t telemetry, h http.Handler) http.Handler {
	return otelhttp.NewHandler(h, "http",
		otelhttp.WithTracerProvider(t.tracer), otelhttp.WithPropagators(propagation.TraceContext{}))
}

// echoRequestID tells the caller the ID under which the request is logged.
func echoRequestID(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Correlation-Id", middleware.GetReqID(r.Context()))
		next.ServeHTTP(w, r)
	})
}

func accessLog(logger *slog.Logger) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			start := time.Now()
			ww := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
			defer func() {
				ctx := r.Context()
				sc := trace.SpanContextFromContext(ctx)
				level := slog.LevelInfo
				if ww.Status() >= 500 {
					level = slog.LevelError
				}
				logger.LogAttrs(ctx, level, "request",
					slog.String("correlation_id", middleware.GetReqID(ctx)),
					slog.String("trace_id", sc.TraceID().String()),
					slog.String("span_id", sc.SpanID().String()),
					slog.String("method", r.Method),
					slog.String("route", chi.RouteContext(ctx).RoutePattern()),
					slog.String("path", r.URL.Path),
					slog.Int("status", ww.Status()),
					slog.Int("bytes", ww.BytesWritten()),
					slog.Duration("duration", time.Since(start)))
			}()
			next.ServeHTTP(ww, r)
		})
	}
}

// nameSpan gives the span the route, which is known once chi has found it.
func nameSpan(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r)
		span := trace.SpanFromContext(r.Context())
		if !span.IsRecording() {
			return
		}
		if route := chi.RouteContext(r.Context()).RoutePattern(); route != "" {
			span.SetName(r.Method + " " + route)
			span.SetAttributes(attribute.String("http.route", route))
		}
	})
}

// measure is rate, errors and duration: the histogram counts, so that there is no counter beside it.
func measure(reg prometheus.Registerer) func(http.Handler) http.Handler {
	duration := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "http_server_request_duration_seconds", Help: "Duration of HTTP server requests.",
		Buckets: []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10},
	}, []string{"method", "route", "code"})
	active := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "http_server_active_requests", Help: "Number of active HTTP server requests.",
	})
	reg.MustRegister(duration, active)
	route := promhttp.WithLabelFromCtx("route", func(ctx context.Context) string {
		return chi.RouteContext(ctx).RoutePattern()
	})
	exemplar := promhttp.WithExemplarFromContext(func(ctx context.Context) prometheus.Labels {
		if sc := trace.SpanContextFromContext(ctx); sc.IsSampled() {
			return prometheus.Labels{"trace_id": sc.TraceID().String()}
		}
		return nil
	})
	return func(next http.Handler) http.Handler {
		return promhttp.InstrumentHandlerInFlight(active,
			promhttp.InstrumentHandlerDuration(duration, next, route, exemplar))
	}
}

type claims struct {
	gojwt.RegisteredClaims
	Scope string `json:"scope"`
}

type claimsKey struct{}

func newParser() *gojwt.Parser {
	return gojwt.NewParser(
		gojwt.WithValidMethods([]string{gojwt.SigningMethodHS256.Alg()}),
		gojwt.WithIssuer(issuerName),
		gojwt.WithAudience(audience),
		gojwt.WithExpirationRequired(),
		gojwt.WithIssuedAt(),
		gojwt.WithLeeway(leeway))
}

var errUnknownKey = errors.New("unknown key")

func authenticate(parser *gojwt.Parser) func(http.Handler) http.Handler {
	keys := map[string][]byte{keyID: []byte(secret)}
	find := func(t *gojwt.Token) (any, error) {
		id, _ := t.Header["kid"].(string)
		if key, ok := keys[id]; ok {
			return key, nil
		}
		return nil, errUnknownKey
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
			if !ok {
				writeError(w, http.StatusUnauthorized, "valid credentials are required")
				return
			}
			var c claims
			if _, err := parser.ParseWithClaims(token, &c, find); err != nil {
				writeError(w, http.StatusUnauthorized, "valid credentials are required")
				return
			}
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), claimsKey{}, &c)))
		})
	}
}

func requireScope(scope string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, ok := r.Context().Value(claimsKey{}).(*claims)
			if !ok || !slices.Contains(strings.Fields(c.Scope), scope) {
				writeError(w, http.StatusForbidden, "the scope is missing")
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// postOrder binds, checks, calls and answers.
func postOrder(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Content-Type") != "application/json" {
		writeError(w, http.StatusUnsupportedMediaType, "the Content-Type must be application/json")
		return
	}
	var req struct {
		SKU      string `json:"sku"`
		Quantity int    `json:"quantity"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&req); err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			writeError(w, http.StatusRequestEntityTooLarge, "the body is too large")
			return
		}
		writeError(w, http.StatusBadRequest, "the body is not valid JSON")
		return
	}
	key := r.Header.Get("Idempotency-Key")
	switch {
	case key == "":
		writeError(w, http.StatusBadRequest, "Idempotency-Key is required")
		return
	case req.SKU == "":
		writeError(w, http.StatusBadRequest, "sku is required")
		return
	case req.Quantity < 1 || req.Quantity > 100:
		writeError(w, http.StatusBadRequest, errQuantity.Error())
		return
	}
	writeJSON(w, http.StatusCreated, place(r.Context(), chi.URLParam(r, "customer"), key, req.SKU, req.Quantity))
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func writeError(w http.ResponseWriter, status int, message string) {
	writeJSON(w, status, map[string]string{"error": message})
}
