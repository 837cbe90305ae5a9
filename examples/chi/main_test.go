package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/mainstay-go/mainstay/examples/internal/exampletest"
)

func TestMain(m *testing.M) { exampletest.Main(m, main) }

func TestRoutesAreLabelledByTheirPattern(t *testing.T) {
	program := exampletest.Start(t)
	for _, path := range []string{"/users/42", "/users/secret-1", "/users/secret-2", "/nowhere/secret-3"} {
		if _, body := program.Do(t, http.MethodGet, path, nil); (path == "/users/42") != (body == "Ada\n") {
			t.Errorf("%s: got %q", path, body)
		}
	}
	_, got := program.Do(t, http.MethodGet, "/metrics", nil)
	for _, want := range []string{
		`http_response_status_code="200",http_route="/users/{id}"} 1`,
		`http_response_status_code="404",http_route="/users/{id}"} 2`,
		`http_response_status_code="404",http_route=""} 1`, // no route, and no part of the path
	} {
		want = `http_server_request_duration_seconds_count{http_request_method="GET",` + want + "\n"
		if !strings.Contains(got, want) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
	if strings.Contains(got, "secret") || strings.Contains(got, "/users/42") {
		t.Errorf("a path in\n%s", got)
	}
}
