package grpcserver_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"testing"

	"google.golang.org/grpc/grpclog"

	"github.com/mainstay-go/mainstay/transport/grpcserver"
)

// TestRedirectLog runs in a process of its own: the library's logger is one, and not guarded.
func TestRedirectLog(t *testing.T) {
	const child = "MAINSTAY_TEST_REDIRECT_LOG"
	if level := os.Getenv(child); level != "" {
		logAsTheLibraryDoes(level)
		return
	}
	loud := []string{"WARN a 1", "WARN [test] b 2", "WARN c=3", "ERROR a 1", "ERROR b 2", "ERROR c=3"}
	info := []string{"DEBUG a 1", "DEBUG b 2", "DEBUG c=3"}
	for level, want := range map[string][]string{
		"INFO":    loud,
		"DEBUG":   slices.Concat(info, loud),
		"DEBUG-4": slices.Concat(info, []string{"DEBUG verbose"}, loud),
	} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestRedirectLog$")
		cmd.Env = append(os.Environ(), child+"="+level)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if out, err := cmd.Output(); err != nil {
			t.Fatalf("%v\n%s%s", err, out, stderr.Bytes())
		}
		var got []string
		for _, line := range bytes.Split(bytes.TrimSpace(stderr.Bytes()), []byte("\n")) {
			var m map[string]any
			if err := json.Unmarshal(line, &m); err != nil || m["logger"] != "grpc" {
				t.Fatalf("line %s: %v, want one of the logger grpc", line, err)
			}
			got = append(got, fmt.Sprintf("%v %v", m["level"], m["msg"]))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", level, got, want)
		}
	}
}

func logAsTheLibraryDoes(level string) {
	var lowest slog.Level
	if err := lowest.UnmarshalText([]byte(level)); err != nil {
		panic(err)
	}
	grpcserver.RedirectLog(slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: lowest})))
	grpclog.Info("a ", 1)
	grpclog.Infoln("b", 2)
	grpclog.Infof("c=%d", 3)
	if grpclog.V(2) {
		grpclog.Info("verbose")
	}
	grpclog.Warning("a ", 1)
	grpclog.Component("test").Warningf("b %d", 2)
	grpclog.Warningf("c=%d", 3)
	grpclog.Error("a ", 1)
	grpclog.Errorln("b", 2)
	grpclog.Errorf("c=%d", 3)
}
