package httpapi_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/httpapi"
)

type (
	getUser struct {
		ID string `path:"id"`
	}
	user struct {
		ID    string `json:"id"`
		Name  string `json:"name"`
		Email string `json:"email"`
	}
)

// BenchmarkGet is a small endpoint beside the same one by hand.
func BenchmarkGet(b *testing.B) {
	answer := user{ID: "42", Name: "Ada", Email: "ada@example.com"}
	kit := http.NewServeMux()
	httpapi.Handle(kit, httpapi.NewEndpoint[getUser, user]("GET /users/{id}",
		&httpapi.EndpointOptions{Access: transport.Public}),
		func(context.Context, getUser) (user, error) { return answer, nil })

	hand := http.NewServeMux()
	hand.HandleFunc("GET /users/{id}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("id") == "" {
			http.Error(w, "no id", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer)
	})
	for name, h := range map[string]http.Handler{"kit": kit, "byHand": hand} {
		b.Run(name, func(b *testing.B) {
			r := httptest.NewRequest("GET", "/users/42", nil)
			w := &discard{h: http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(w, r)
			}
		})
	}
}
