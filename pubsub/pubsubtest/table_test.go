package pubsubtest_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/mainstay-go/mainstay/pubsub/pubsubtest"
)

func TestWriteTable(t *testing.T) {
	output := strings.Join([]string{
		"=== RUN   TestConformance",
		"    conformance\tmem\tPublish/A\tpass",
		"    conformance\tmem\tPublish/B\tnot able: Order",
		"    suite.go:12: conformance of something else",
		"    conformance\tnats\tPublish/B\tfail",
		"    conformance\tnats\tPublish/C\tskipped",
		"    conformance\tnats\tPublish/C\tskipped\tand more",
		"--- FAIL: TestConformance (0.00s)",
	}, "\n")
	var table strings.Builder
	failed, err := pubsubtest.WriteTable(&table, strings.NewReader(output))
	if err != nil || !slices.Equal(failed, []string{"nats: Publish/B"}) {
		t.Errorf("WriteTable = %q, %v, want the case that failed", failed, err)
	}
	want := strings.Join([]string{
		"case       mem                 nats",
		"Publish/A  pass                -",
		"Publish/B  not able: Order     fail",
		"Publish/C  -                   skipped",
		"3 cases    1 pass, 1 not able  0 pass, 0 not able",
		"",
	}, "\n")
	if got := table.String(); got != want {
		t.Errorf("the table is\n%s\nwant\n%s", got, want)
	}
	away := errors.New("away")
	if _, err := pubsubtest.WriteTable(&table, iotest.ErrReader(away)); !errors.Is(err, away) {
		t.Errorf("WriteTable = %v, want the reader's error", err)
	}
}
