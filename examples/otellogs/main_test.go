package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	collogspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/proto"

	"github.com/mainstay-go/mainstay/examples/internal/exampletest"
)

func TestMain(m *testing.M) { exampletest.Main(m, main) }

func TestTheCollectorGetsTheLine(t *testing.T) {
	bodies := make(chan []byte, 16)
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.URL.Path != "/v1/logs" {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		bodies <- body
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	defer collector.Close()

	var stderr bytes.Buffer
	program := exampletest.Command(t.Context(), "-otlp", collector.URL)
	program.Stderr = &stderr
	if err := program.Run(); err != nil {
		t.Fatalf("%v:\n%s", err, &stderr)
	}
	line := struct {
		Trace       string `json:"trace_id"`
		Correlation string `json:"correlation_id"`
		Source      map[string]any
	}{}
	if err := json.Unmarshal(stderr.Bytes(), &line); err != nil {
		t.Fatalf("standard error: got %q, want one line: %v", &stderr, err)
	}
	if line.Correlation != "nightly-1" || len(line.Trace) != 32 || line.Source["token"] != "[REDACTED]" {
		t.Errorf("standard error: got %s, want both IDs and no secret", &stderr)
	}
	if len(bodies) != 1 {
		t.Fatalf("got %d requests, want 1", len(bodies))
	}
	record := onlyRecord(t, <-bodies)
	if got := hex.EncodeToString(record.GetTraceId()); got != line.Trace {
		t.Errorf("trace: got %q, want %q", got, line.Trace)
	}
	if got := record.GetBody().GetStringValue(); got != "prices imported" || record.GetSeverityText() != "INFO" {
		t.Errorf("got %q at %q, want prices imported at INFO", got, record.GetSeverityText())
	}
	attrs := flat("", record.GetAttributes())
	for key, want := range map[string]string{
		"correlation_id": "nightly-1", "source.file": "prices.csv", "source.token": "[REDACTED]",
	} {
		if got := attrs[key]; got != want {
			t.Errorf("%s: got %q, want %q", key, got, want)
		}
	}
	if strings.Contains(stderr.String()+record.String(), "hunter2") {
		t.Errorf("the secret in %s or %v", &stderr, record)
	}
}

func onlyRecord(t *testing.T, body []byte) *logspb.LogRecord {
	t.Helper()
	var request collogspb.ExportLogsServiceRequest
	if err := proto.Unmarshal(body, &request); err != nil {
		t.Fatal(err)
	}
	var records []*logspb.LogRecord
	for _, resource := range request.GetResourceLogs() {
		for _, scope := range resource.GetScopeLogs() {
			records = append(records, scope.GetLogRecords()...)
		}
	}
	if len(records) != 1 {
		t.Fatalf("got %d records, want 1", len(records))
	}
	return records[0]
}

// flat has the strings of attributes, those in groups under both names.
func flat(prefix string, attrs []*commonpb.KeyValue) map[string]string {
	all := map[string]string{}
	for _, a := range attrs {
		key := prefix + a.GetKey()
		all[key] = a.GetValue().GetStringValue()
		for k, v := range flat(key+".", a.GetValue().GetKvlistValue().GetValues()) {
			all[k] = v
		}
	}
	return all
}
