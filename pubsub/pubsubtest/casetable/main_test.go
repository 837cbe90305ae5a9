package main

import (
	"slices"
	"strings"
	"testing"
)

func TestShow(t *testing.T) {
	output := strings.Join([]string{
		"=== RUN   TestA",
		"    conformance\tmem\tPublish/A\tpass",
		"--- PASS: TestA (0.00s)",
		"PASS",
		"ok  \texample.com/a\t1.0s",
		"?   \texample.com/none\t[no test files]",
		"=== RUN   TestB",
		"    b_test.go:1: what went wrong",
		"    conformance\tnats\tPublish/A\tfail",
		"FAIL",
		"FAIL\texample.com/b\t1.0s",
		"go: the end",
	}, "\n")
	var w strings.Builder
	failed, err := show(&w, strings.NewReader(output))
	if err != nil || !slices.Equal(failed, []string{"nats: Publish/A"}) {
		t.Errorf("show = %q, %v, want the case that failed", failed, err)
	}
	for _, want := range []string{
		"ok  \texample.com/a\t1.0s\n", "[no test files]\n", "what went wrong\n", "FAIL\texample.com/b\t1.0s\n", "go: the end",
		"case       mem                 nats\nPublish/A  pass                fail\n",
	} {
		if !strings.Contains(w.String(), want) {
			t.Errorf("shown is\n%s\nwant %q in it", w.String(), want)
		}
	}
	if strings.Contains(w.String(), "TestA") {
		t.Errorf("shown is\n%s\nwant nothing of a package that passed but its line", w.String())
	}
}
