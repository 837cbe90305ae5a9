package correlation_test

import (
	"context"
	"testing"

	"github.com/mainstay-go/mainstay/tracing/correlation"
)

// holder is a context that has its ID and its cause in fields.
type holder struct {
	context.Context
	id, cause string
}

func (h holder) Value(key any) any {
	if v := correlation.Value(key, h.id, h.cause); v != nil {
		return v
	}
	return h.Context.Value(key)
}

func TestValueAnswersForAContext(t *testing.T) {
	type other struct{}
	parent := context.WithValue(correlation.WithCause(correlation.NewContext(t.Context(), "c-0"), "m-0"), other{}, "kept")
	ctx := holder{parent, "c-1", "m-1"}
	if got := correlation.FromContext(ctx); got != "c-1" {
		t.Errorf("ID: got %q, want c-1", got)
	}
	if got := correlation.Cause(ctx); got != "m-1" {
		t.Errorf("cause: got %q, want m-1", got)
	}
	if got := ctx.Value(other{}); got != "kept" {
		t.Errorf("what somebody else put there: got %v, want it kept", got)
	}
	for name, bad := range hostile() {
		ctx := holder{parent, bad, bad}
		if id, cause := correlation.FromContext(ctx), correlation.Cause(ctx); id != "" || cause != "" {
			t.Errorf("%s: got %q and %q, want none: neither its own nor the parent's", name, id, cause)
		}
	}
}
