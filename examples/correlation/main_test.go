package main

import (
	"net/http"
	"testing"

	"github.com/google/uuid"

	"github.com/mainstay-go/mainstay/examples/internal/exampletest"
)

func TestMain(m *testing.M) { exampletest.Main(m, main) }

func TestOneIDInTheAnswerAndInEveryLine(t *testing.T) {
	program := exampletest.Start(t)
	for name, c := range map[string]struct {
		sent   string
		minted bool
	}{
		"Adopted":  {"order-1", false},
		"Minted":   {"", true},
		"Replaced": {`order 1", "level":"ERROR`, true},
	} {
		t.Run(name, func(t *testing.T) {
			header := http.Header{}
			if c.sent != "" {
				header.Set("X-Correlation-Id", c.sent)
			}
			res, body := program.Do(t, http.MethodPost, "/orders/tea", header)
			echoes := res.Header.Values("X-Correlation-Id")
			if res.StatusCode != http.StatusOK || len(echoes) != 1 {
				t.Fatalf("got %d %q with IDs %q, want 200 with one", res.StatusCode, body, echoes)
			}
			id := echoes[0]
			if _, err := uuid.Parse(id); (err == nil) != c.minted || !c.minted && id != c.sent {
				t.Errorf("sent %q, got %q, want it minted: %v", c.sent, id, c.minted)
			}
			for _, want := range []string{"order taken", "stock reserved"} {
				if line := program.Line(t); line["msg"] != want || line["correlation_id"] != id || line["sku"] != "tea" {
					t.Errorf("logged %v, want %q with %q", line, want, id)
				}
			}
		})
	}
}
