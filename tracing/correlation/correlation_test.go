package correlation_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/mainstay-go/mainstay/tracing/correlation"
)

// legal has every byte that an ID may have.
const legal = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

// hostile are values that must be replaced, by name.
func hostile() map[string]string {
	return map[string]string{
		"Empty":       "",
		"Space":       "a b",
		"Quote":       `x"y`,
		"Tab":         "a\tb",
		"NewLine":     "abc\r\nX-Evil: 1",
		"NotUTF8":     "\xff\xfe",
		"Letter":      "é",
		"Null":        "a\x00",
		"129Bytes":    strings.Repeat("a", 129),
		"64KiB":       strings.Repeat("a", 64<<10),
		"Interpolate": "${jndi:ldap://x}",
	}
}

func TestValid(t *testing.T) {
	for _, id := range []string{"c", "c-1", legal, strings.Repeat("x", 128), correlation.New()} {
		if !correlation.Valid(id) {
			t.Errorf("Valid(%q): got false, want true", id)
		}
	}
	for name, id := range hostile() {
		if correlation.Valid(id) {
			t.Errorf("Valid(%s): got true, want false", name)
		}
	}
}

func TestNewMintsUUIDsThatSortByTime(t *testing.T) {
	last := ""
	for range 1000 {
		id := correlation.New()
		if u, err := uuid.Parse(id); err != nil || u.Version() != 7 {
			t.Fatalf("got %q (%v), want a UUIDv7", id, err)
		}
		if id <= last {
			t.Fatalf("got %q after %q, want a greater one", id, last)
		}
		last = id
	}
}

func TestContext(t *testing.T) {
	t.Run("CarriesAValidID", func(t *testing.T) {
		if got := correlation.FromContext(correlation.NewContext(t.Context(), "c-1")); got != "c-1" {
			t.Errorf("got %q, want c-1", got)
		}
	})
	t.Run("HasNoneByItself", func(t *testing.T) {
		if got := correlation.FromContext(t.Context()); got != "" {
			t.Errorf("got %q, want none", got)
		}
	})
	for name, id := range hostile() {
		t.Run("Replaces/"+name, func(t *testing.T) {
			got := correlation.FromContext(correlation.NewContext(t.Context(), id))
			if !correlation.Valid(got) || (id != "" && strings.Contains(id, got)) {
				t.Errorf("got %q, want a new ID", got)
			}
		})
	}
	t.Run("EnsureKeepsWhatIsThere", func(t *testing.T) {
		ctx := correlation.NewContext(t.Context(), "c-1")
		got, id := correlation.Ensure(ctx)
		if got != ctx || id != "c-1" {
			t.Errorf("got %v, %q; want the same context, c-1", got, id)
		}
	})
	t.Run("EnsureMintsWhatIsNot", func(t *testing.T) {
		ctx, id := correlation.Ensure(t.Context())
		if !correlation.Valid(id) || correlation.FromContext(ctx) != id {
			t.Errorf("got %q, in the context %q; want one valid ID", id, correlation.FromContext(ctx))
		}
	})
}

func TestCause(t *testing.T) {
	ctx := correlation.NewContext(t.Context(), "c-1")
	if got := correlation.Cause(ctx); got != "" {
		t.Errorf("of a request: got %q, want none", got)
	}
	handled := correlation.WithCause(ctx, "m-1")
	if got := correlation.Cause(handled); got != "m-1" {
		t.Errorf("got %q, want m-1", got)
	}
	if got := correlation.FromContext(handled); got != "c-1" {
		t.Errorf("the ID beside it: got %q, want c-1", got)
	}
	c := attributes{}
	if correlation.Inject(handled, c); len(c) != 1 {
		t.Errorf("injected %v, want the ID alone", c)
	}
	for name, id := range hostile() {
		t.Run("IsNoneFor/"+name, func(t *testing.T) {
			if got := correlation.Cause(correlation.WithCause(handled, id)); got != "" {
				t.Errorf("got %q, want none", got)
			}
		})
	}
}

// attributes is a carrier as brokers have them.
type attributes map[string]string

func (a attributes) Get(key string) string { return a[key] }
func (a attributes) Set(key, value string) { a[key] = value }

func TestCarrier(t *testing.T) {
	t.Run("CarriesTheID", func(t *testing.T) {
		c := attributes{}
		correlation.Inject(correlation.NewContext(t.Context(), "c-1"), c)
		if len(c) != 1 || c["x-correlation-id"] != "c-1" {
			t.Errorf("got %v, want x-correlation-id c-1 alone", c)
		}
		if got := correlation.FromContext(correlation.Extract(t.Context(), c)); got != "c-1" {
			t.Errorf("got %q, want c-1", got)
		}
	})
	t.Run("StaysAsItIsWithoutAnID", func(t *testing.T) {
		c := attributes{}
		correlation.Inject(t.Context(), c)
		if len(c) != 0 {
			t.Errorf("got %v, want nothing", c)
		}
	})
	t.Run("DoesNotLendTheContextsIDToWhatCameWithoutOne", func(t *testing.T) {
		ctx := correlation.Extract(correlation.NewContext(t.Context(), "c-1"), attributes{})
		if got := correlation.FromContext(ctx); got == "c-1" || !correlation.Valid(got) {
			t.Errorf("got %q, want a new ID", got)
		}
	})
	for name, id := range hostile() {
		t.Run("Replaces/"+name, func(t *testing.T) {
			got := correlation.FromContext(correlation.Extract(t.Context(), attributes{correlation.Key: id}))
			if !correlation.Valid(got) || (id != "" && strings.Contains(id, got)) {
				t.Errorf("got %q, want a new ID", got)
			}
		})
	}
}

func FuzzAdopt(f *testing.F) {
	f.Add(legal)
	for _, id := range hostile() {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := correlation.Adopt(s)
		if len(got) == 0 || len(got) > 128 || strings.Trim(got, legal) != "" {
			t.Errorf("Adopt(%q): got %q, want 1 to 128 bytes of %s", s, got, legal)
		}
		strange := strings.ContainsFunc(s, func(r rune) bool { return !strings.ContainsRune(legal, r) })
		wellFormed := len(s) > 0 && len(s) <= 128 && !strange
		if kept := got == s; kept != wellFormed || correlation.Valid(s) != wellFormed {
			t.Errorf("Adopt(%q): got %q; want it kept: %v", s, got, wellFormed)
		}
	})
}

func BenchmarkEnsure(b *testing.B) {
	for name, ctx := range map[string]context.Context{
		"Adopted": correlation.NewContext(b.Context(), "c-1"),
		"Minted":  b.Context(),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				correlation.Ensure(ctx)
			}
		})
	}
}
