package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
)

// variant is a request that all sides must treat alike.
type variant struct {
	name        string
	contentType string
	body        string
	status      []int // what may be said, by the side's own taste
}

// variants begin with the hot request, whose answers must be the same to the byte. Refusals are each side's own.
func variants() []variant {
	const json = "application/json"
	bad := []int{http.StatusBadRequest, http.StatusUnprocessableEntity}
	with := func(old, changed string) string { return strings.Replace(body, old, changed, 1) }
	all := []variant{
		{"the hot request", json, body, []int{http.StatusCreated}},
		{"another type", "text/plain", body, []int{http.StatusUnsupportedMediaType}},
		{"no JSON", json, body[:40], bad},
		{"more behind it", json, body + "{}", bad},
		{"too long", json, strings.Repeat(" ", maxBody) + body, []int{http.StatusRequestEntityTooLarge}},
		{"a wrong type", json, with(`"quantity":2`, `"quantity":"2"`), bad},
	}
	for _, change := range [][2]string{
		{`"sku":"tea-earl-grey-100g"`, `"sku":""`}, {`"sku":"t`, `"sku":"` + strings.Repeat("t", 40)},
		{`"quantity":2`, `"quantity":0`}, {`"quantity":2`, `"quantity":101`}, {`"price_cents":1799`, `"price_cents":-1`},
		{"EUR", "CHF"}, {"Ada Lovelace", ""}, {"Ada", strings.Repeat("ä", 100)}, {"12 St James's Square", ""},
		{"London", ""}, {"10115", "1011"}, {`["gift","fragile"]`, `["1","2","3","4","5","6"]`},
		{"gift", strings.Repeat("g", 21)},
	} {
		all = append(all, variant{change[1], json, with(change[0], change[1]), bad})
	}
	return all
}

// checkAlike returns how two sides differ, nil where they do not.
func checkAlike(kit, peer http.Handler) error {
	for i, v := range variants() {
		var answers []*httptest.ResponseRecorder
		for _, h := range []http.Handler{kit, peer} {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, newRequest(v.contentType, v.body))
			if !slices.Contains(v.status, w.Code) {
				return fmt.Errorf("%s: status %d, want one of %v: %s", v.name, w.Code, v.status, w.Body)
			}
			answers = append(answers, w)
		}
		if i == 0 && !bytes.Equal(answers[0].Body.Bytes(), answers[1].Body.Bytes()) {
			return fmt.Errorf("%s: %q and %q", v.name, answers[0].Body, answers[1].Body)
		}
	}
	return nil
}
