package driver_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

func TestAttributes(t *testing.T) {
	as := driver.AttributesOf(map[string]string{"b": "2", "a": "1", "c": ""})
	if want := (driver.Attributes{{"a", "1"}, {"b", "2"}, {"c", ""}}); !slices.Equal(as, want) {
		t.Fatalf("AttributesOf: got %v, want %v", as, want)
	}
	as.Set("b", "3")
	as.Set("d", "4")
	as.Delete("a", "x")
	if want := (driver.Attributes{{"b", "3"}, {"c", ""}, {"d", "4"}}); !slices.Equal(as, want) {
		t.Errorf("after Set and Delete: got %v, want %v", as, want)
	}
	if got := as.Get("b"); got != "3" {
		t.Errorf("Get(b): got %q, want 3", got)
	}
	if got := as.Get("a"); got != "" {
		t.Errorf("Get of what is not there: got %q, want nothing", got)
	}
	if got := driver.Attributes(nil).Get("a"); got != "" {
		t.Errorf("Get of nil: got %q, want nothing", got)
	}
}

func TestTheFirstOfANameCounts(t *testing.T) {
	as := driver.Attributes{{"a", "first"}, {"b", "2"}, {"a", "second"}}
	if got := as.Get("a"); got != "first" {
		t.Errorf("Get: got %q, want first", got)
	}
	if got, want := as.Map(), map[string]string{"a": "first", "b": "2"}; !maps.Equal(got, want) {
		t.Errorf("Map: got %v, want %v", got, want)
	}
	as.Delete("a")
	if want := (driver.Attributes{{"b", "2"}}); !slices.Equal(as, want) {
		t.Errorf("after Delete: got %v, want %v: none of that name is left", as, want)
	}
}
