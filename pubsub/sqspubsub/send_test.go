package sqspubsub

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

func TestRefusalsAreOfTheirEntries(t *testing.T) {
	read := func(f types.BatchResultErrorEntry) (*string, refusal) {
		return f.Id, refused(f.Code, f.Message, f.SenderFault)
	}
	entry := func(id string) types.BatchResultErrorEntry {
		return types.BatchResultErrorEntry{
			Id: aws.String(id), Code: aws.String("Busy"), Message: aws.String("later"), SenderFault: true,
		}
	}
	if got := refusals(3, nil, read); len(got) != 0 {
		t.Errorf("got %v of no refusal, want none", got)
	}
	got := refusals(3, []types.BatchResultErrorEntry{entry("1")}, read)
	if r, ok := got[1]; len(got) != 1 || !ok || !r.sender || r.err.Error() != "Busy: later" {
		t.Errorf("got %v, want one of entry 1", got)
	}
	for _, stranger := range []string{"3", "-1", "x", ""} {
		if got := refusals(3, []types.BatchResultErrorEntry{entry(stranger)}, read); len(got) != 3 {
			t.Errorf("got %v of entry %q, want that all are refused", got, stranger)
		}
	}
}

func TestGroupsAndDeduplication(t *testing.T) {
	long := strings.Repeat("k", 129)
	id := func(key, id string, fifo, fresh bool) (group, dedup string) {
		g, d := ids(&outgoing{key: key, id: id}, fifo, fresh)
		return aws.ToString(g), aws.ToString(d)
	}
	if g, d := id("key", "m", false, false); g != "key" || d != "" {
		t.Errorf("standard: group %q, deduplication %q, want key and none", g, d)
	}
	if g, d := id("", "m", false, false); g != "" || d != "" {
		t.Errorf("standard without a key: group %q, deduplication %q, want none", g, d)
	}
	if g, d := id("key", "m", true, false); g != "key" || d != "m" {
		t.Errorf("FIFO: group %q, deduplication %q, want key and m", g, d)
	}
	if g, d := id("", "m", true, false); g != "m" || d != "m" {
		t.Errorf("FIFO without a key: group %q, deduplication %q, want m, which waits for nothing", g, d)
	}
	_, first := id("key", "m", true, true)
	if _, second := id("key", "m", true, true); first == "m" || first == second {
		t.Errorf("redelivered: deduplication %q and %q, want new ones each time", first, second)
	}
	if _, d := id("key", "", true, false); d == "" {
		t.Error("FIFO without an ID: no deduplication, want a new one")
	}
	a, b := group(long), group(long+"x")
	if len(a) > 128 || a == b || group("a b") == "a b" || group("é") == "é" {
		t.Errorf("groups %q and %q, want legal ones that differ", a, b)
	}
}
