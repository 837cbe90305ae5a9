package kafkapubsub_test

import (
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/kafkapubsub"
)

func TestBrowseReadsEachPartitionOnceFromWhereItBegins(t *testing.T) {
	_, seeds := startCluster(t)
	cl := newKafka(t, seeds)
	b := kafkapubsub.New(cl, nil)
	if err := b.Declare(t.Context(), []string{"a", "other"}); err != nil {
		t.Fatal(err)
	}
	fill(t, seeds, "a", 5, asItIs)
	gone := make(kadm.Offsets)
	gone.Add(kadm.Offset{Topic: "a", At: 3})
	if rs, err := kadm.NewClient(cl).DeleteRecords(t.Context(), gone); err != nil || rs.Error() != nil {
		t.Fatal(err, rs.Error())
	}
	var got []string
	var letters []*driver.Delivery
	cursor := ""
	for {
		ds, next, err := b.Browse(t.Context(), "a", cursor, 2)
		if err != nil {
			t.Fatal(err)
		}
		if len(ds) == 0 {
			break
		}
		for _, d := range ds {
			got = append(got, d.Position)
		}
		letters, cursor = append(letters, ds...), next
	}
	if want := []string{"a/0/3", "a/0/4", "a/1/0", "a/1/1", "a/1/2", "a/1/3", "a/1/4"}; !slices.Equal(got, want) {
		t.Errorf("browsed %v, want %v", got, want)
	}
	refused(t, b.Remove(t.Context(), "other", letters[:1]), "a/0/3", "not what Browse returned")
	for _, bad := range []string{"-1/0", "0/-1", "x", "0"} {
		if _, _, err := b.Browse(t.Context(), "a", bad, 1); err == nil {
			t.Errorf("Browse from %q = nil, want an error", bad)
		}
	}
}
