package auth_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/mainstay-go/mainstay/auth"
)

func TestContext(t *testing.T) {
	t.Run("CarriesThePrincipal", func(t *testing.T) {
		want := auth.Principal{Subject: "orders", Issuer: "shop", Kind: auth.KindService, Scopes: []string{"read"}}
		ctx := auth.NewContext(t.Context(), want)
		got, ok := auth.FromContext(ctx)
		if !ok || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %v, %v; want %v, true", got, ok, want)
		}
	})
	t.Run("IsNotChangedThroughACopy", func(t *testing.T) {
		p := auth.Principal{Subject: "orders"}
		ctx := auth.NewContext(t.Context(), p)
		p.Subject = "admin"
		if got, _ := auth.FromContext(ctx); got.Subject != "orders" {
			t.Errorf("got %q, want orders", got.Subject)
		}
	})
	t.Run("InnermostWins", func(t *testing.T) {
		ctx := auth.NewContext(auth.NewContext(t.Context(), auth.Principal{Subject: "a"}), auth.Principal{Subject: "b"})
		if got, _ := auth.FromContext(ctx); got.Subject != "b" {
			t.Errorf("got %q, want b", got.Subject)
		}
	})
	t.Run("EmptyHasNone", func(t *testing.T) {
		if p, ok := auth.FromContext(t.Context()); ok {
			t.Errorf("got %v, want none", p)
		}
	})
}

func TestPrincipalHasScope(t *testing.T) {
	p := auth.Principal{Scopes: []string{"orders.read", "orders.write"}}
	for scope, want := range map[string]bool{"orders.read": true, "orders": false, "": false, "ORDERS.READ": false} {
		if got := p.HasScope(scope); got != want {
			t.Errorf("HasScope(%q): got %v, want %v", scope, got, want)
		}
	}
}

func TestKindString(t *testing.T) {
	for k, want := range map[auth.Kind]string{
		auth.KindUnknown: "unknown", auth.KindService: "service", auth.KindUser: "user", 99: "unknown",
	} {
		if got := k.String(); got != want {
			t.Errorf("%d: got %q, want %q", k, got, want)
		}
	}
	if (auth.Principal{}).Kind != auth.KindUnknown {
		t.Error("a zero principal is of a known kind")
	}
}

func TestLogAttrs(t *testing.T) {
	if got := auth.LogAttrs(t.Context()); got != nil {
		t.Errorf("nobody: got %v, want nil", got)
	}
	got := auth.LogAttrs(auth.NewContext(t.Context(), auth.Principal{Subject: "orders", Kind: auth.KindService}))
	want := []slog.Attr{slog.String("principal", "orders"), slog.String("principal_kind", "service")}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestFuncs(t *testing.T) {
	var v auth.Verifier = auth.VerifierFunc(func(_ context.Context, token string) (auth.Principal, error) {
		return auth.Principal{Subject: token}, auth.ErrUnavailable
	})
	if p, err := v.Verify(t.Context(), "t"); p.Subject != "t" || !errors.Is(err, auth.ErrUnavailable) {
		t.Errorf("VerifierFunc: got %v, %v; want t, %v", p, err, auth.ErrUnavailable)
	}
	var s auth.TokenSource = auth.TokenSourceFunc(func(_ context.Context, audience string) (string, error) {
		return "for " + audience, nil
	})
	if token, err := s.Token(t.Context(), "users"); token != "for users" || err != nil {
		t.Errorf("TokenSourceFunc: got %q, %v; want %q, nil", token, err, "for users")
	}
}
