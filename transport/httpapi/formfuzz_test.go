package httpapi_test

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mainstay-go/mainstay/transport/httpapi"
)

// FuzzForm sends forms that no client of ours would: a handler gets what keeps the contract, or nothing.
func FuzzForm(f *testing.F) {
	const multipart = "multipart/form-data; boundary=x"
	f.Add("application/x-www-form-urlencoded", "title=t&page=1&x=%zz")
	f.Add(multipart, "--x\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\nt\r\n"+
		"--x\r\nContent-Disposition: form-data; name=\"cover\"; filename=\"../a\"\r\nContent-Type: \xff\r\n\r\nc\r\n--x--\r\n")
	f.Add(multipart, "--x\r\nContent-Disposition: form-data; name=title; filename\r\n\r\n--x--")
	f.Add("multipart/form-data", "--\r\n\r\n----")
	e := httpapi.NewEndpoint[upload, struct{}]("POST /books", public)
	f.Fuzz(func(t *testing.T, contentType, body string) {
		c := serve(e, func(_ context.Context, r upload) (struct{}, error) {
			if r.Title == "" || r.Cover == nil || len(r.Pages) > 2 || strings.ContainsAny(r.Cover.Name, `/\`) {
				t.Errorf("the handler got %+v", r)
			}
			return struct{}{}, nil
		})
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/books", strings.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		rec := httptest.NewRecorder()
		c.h.ServeHTTP(rec, r)
		switch rec.Code {
		case 204, 400, 413, 415:
		default:
			t.Errorf("status %d: %s", rec.Code, rec.Body)
		}
	})
}
