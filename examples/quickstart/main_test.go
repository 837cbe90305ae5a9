package main

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain is the program itself where the test below starts it.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

func TestQuickstart(t *testing.T) {
	const addr = "127.0.0.1:8080"
	if l, err := net.Listen("tcp", addr); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("the port is not free: %v", err)
		}
		t.Skipf("somebody else has the port: %v", err)
	} else if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "serve")
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	answer := greet(t, "http://"+addr+"/greetings")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the service ended with %v, want exit status 0; log:\n%s", err, &log)
	}
	if want := `{"text":"Hello, Ada"}`; strings.TrimSpace(answer) != want {
		t.Errorf("answer = %s, want %s", answer, want)
	}
	if want := "msg=greeted correlation_id=quick-1"; !strings.Contains(log.String(), want) {
		t.Errorf("the log has no %q:\n%s", want, &log)
	}
}

// greet asks until there is an answer.
func greet(t *testing.T, url string) string {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(`{"name":"Ada"}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = http.Header{"Content-Type": {"application/json"}, "X-Correlation-Id": {"quick-1"}}
		if res, err := http.DefaultClient.Do(req); err == nil {
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != http.StatusOK {
				t.Errorf("answer = %d %s, %v, want 200", res.StatusCode, body, err)
			}
			return string(body)
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("no answer within 10s")
		}
	}
}
