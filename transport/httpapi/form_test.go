package httpapi_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/httpapi"
)

type (
	signUp struct {
		Plan  string   `path:"plan"`
		Email string   `form:"email" api:"required" format:"email"`
		Age   int      `form:"age" minimum:"18"`
		Likes []string `form:"like" maxItems:"2" default:"go"`
	}
	upload struct {
		Title string          `form:"title" api:"required"`
		Cover *httpapi.File   `form:"cover" api:"required"`
		Pages []*httpapi.File `form:"page" maxItems:"2"`
	}
)

func TestForm(t *testing.T) {
	e := httpapi.NewEndpoint[signUp, struct{}]("POST /plans/{plan}", public)
	strict := httpapi.NewEndpoint[signUp, struct{}]("POST /plans/{plan}",
		&httpapi.EndpointOptions{Access: transport.Public, Strict: true, MaxBody: 100})
	var got signUp
	keep := func(_ context.Context, r signUp) (struct{}, error) { got = r; return struct{}{}, nil }
	urlEncoded := relabelled(serve(e, keep), "application/x-www-form-urlencoded")

	t.Run("IsWhatTheCallerSent", func(t *testing.T) {
		want := signUp{Plan: "p", Email: "a@b.c", Age: 20, Likes: []string{"a&b", "ü"}}
		if _, err := e.Call(t.Context(), serve(e, keep), want); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("the handler saw %+v, %v, want %+v", got, err, want)
		}
	})
	t.Run("IsTakenAsMultipartToo", func(t *testing.T) {
		body := "--x\r\nContent-Disposition: form-data; name=\"email\"\r\n\r\na@b.c\r\n--x--\r\n"
		resp := post(t, relabelled(serve(e, keep), "multipart/form-data; boundary=x"), "/plans/p", body)
		want := signUp{Plan: "p", Email: "a@b.c", Likes: []string{"go"}}
		if resp.StatusCode != 204 || !reflect.DeepEqual(got, want) {
			t.Errorf("status %d, the handler saw %+v, want %+v", resp.StatusCode, got, want)
		}
	})
	for _, tt := range []struct {
		name string
		c    local
		body string
		want []string
	}{
		{"EveryViolation", urlEncoded, "email=x&age=17&like=a&like=b&like=c", []string{
			"email: must be an email address", "age: must be at least 18", "like: must have at most 2 items"}},
		{"AnEmptyForm", urlEncoded, "", []string{"email: is required"}},
		{"AFieldTwice", urlEncoded, "email=a@b&email=c@d", []string{"email: must be there once"}},
		{"ABrokenForm", urlEncoded, "email=%zz", []string{"400 the form is malformed"}},
		{"JSON", serve(e, keep), `{"email":"a@b"}`, []string{
			"415 the Content-Type must be application/x-www-form-urlencoded or multipart/form-data"}},
		{"AnUnknownFieldUnderStrict", relabelled(serve(strict, keep), "application/x-www-form-urlencoded"),
			"email=a@b&zip=1&plan/=x", []string{"plan~1: is not known", "zip: is not known"}},
		{"TooLarge", relabelled(serve(strict, keep), "application/x-www-form-urlencoded"),
			"email=" + strings.Repeat("x", 95), []string{"413 the body is larger than 100 bytes"}},
		{"ATruncatedMultipart", relabelled(serve(e, keep), "multipart/form-data; boundary=x"),
			"--x\r\nContent-Disposition: form-data; name=\"email\"\r\n\r\na@b", []string{"400 the form is malformed"}},
		{"NoBoundary", relabelled(serve(e, keep), "multipart/form-data"), "--x", []string{"400 the form is malformed"}},
	} {
		t.Run("Refuses"+tt.name, func(t *testing.T) {
			if said := violationsOf(t, post(t, tt.c, "/plans/p", tt.body)); !reflect.DeepEqual(said, tt.want) {
				t.Errorf("got %q, want %q", said, tt.want)
			}
		})
	}
}

func TestFiles(t *testing.T) {
	e := httpapi.NewEndpoint[upload, struct{}]("POST /books",
		&httpapi.EndpointOptions{Access: transport.Public, MaxBody: 4 << 20})
	big := strings.Repeat("0123456789abcdef", 128<<10) // 2 MiB, which are on disk
	t.Run("ArriveAsTheyWereSent", func(t *testing.T) {
		t.Setenv("TMPDIR", t.TempDir())
		var got []string
		c := serve(e, func(_ context.Context, r upload) (struct{}, error) {
			for _, f := range append([]*httpapi.File{r.Cover}, r.Pages...) {
				got = append(got, r.Title, f.Name, f.ContentType, read(t, f))
				if int(f.Size) != len(read(t, f)) {
					t.Errorf("file %s: size %d, want %d", f.Name, f.Size, len(read(t, f)))
				}
			}
			return struct{}{}, nil
		})
		_, err := e.Call(t.Context(), c, upload{Title: "t", Cover: httpapi.NewFile("ä \"x\".png", "image/png", []byte(big)),
			Pages: []*httpapi.File{httpapi.NewFile("../../etc/passwd", "", nil), nil,
				httpapi.NewFile(`C:\a\b.txt`, "text/plain", []byte("b"))}})
		want := []string{"t", "ä \"x\".png", "image/png", big, "t", "passwd", "application/octet-stream", "",
			"t", "b.txt", "text/plain", "b"}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %d texts, %v, want %d", len(got), err, len(want))
		}
		left, _ := os.ReadDir(os.Getenv("TMPDIR"))
		if len(left) > 0 {
			t.Errorf("%d temporary files are left, want none", len(left))
		}
	})
	t.Run("LeaveNothingBehindAPanic", func(t *testing.T) {
		t.Setenv("TMPDIR", t.TempDir())
		c := serve(e, func(context.Context, upload) (struct{}, error) { panic(http.ErrAbortHandler) })
		func() {
			defer func() { _ = recover() }()
			_, _ = e.Call(t.Context(), c, upload{Title: "t", Cover: httpapi.NewFile("a", "", []byte(big))})
		}()
		if left, _ := os.ReadDir(os.Getenv("TMPDIR")); len(left) > 0 {
			t.Errorf("%d temporary files are left, want none", len(left))
		}
	})
	t.Run("AreCounted", func(t *testing.T) {
		c := serve(e, func(context.Context, upload) (struct{}, error) { return struct{}{}, nil })
		f := httpapi.NewFile("a", "", nil)
		for want, sent := range map[string]upload{
			"cover: is required":              {Title: "t"},
			"page: must have at most 2 items": {Title: "t", Cover: f, Pages: []*httpapi.File{f, f, f}},
		} {
			_, err := e.Call(t.Context(), c, sent)
			if got := asError(t, err).Error(); !strings.HasSuffix(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		}
	})
	t.Run("HaveNoNameOfAFolder", func(t *testing.T) {
		for sent, want := range map[string]string{"..": "", `a\..`: "", "a/.": "", "..x": "..x", "/": "", "a/b/..c": "..c"} {
			var got string
			c := serve(e, func(_ context.Context, r upload) (struct{}, error) { got = r.Cover.Name; return struct{}{}, nil })
			_, err := e.Call(t.Context(), c, upload{Title: "t", Cover: httpapi.NewFile(sent, "", nil)})
			if err != nil || got != want {
				t.Errorf("%q: the handler saw %q, %v, want %q", sent, got, err, want)
			}
		}
	})
	t.Run("ThatAreLargeWaitOnDisk", func(t *testing.T) {
		t.Setenv("TMPDIR", t.TempDir())
		c := serve(e, func(context.Context, upload) (struct{}, error) {
			if there, _ := os.ReadDir(os.Getenv("TMPDIR")); len(there) != 1 {
				t.Errorf("%d temporary files, want 1", len(there))
			}
			return struct{}{}, nil
		})
		if _, err := e.Call(t.Context(), c, upload{Title: "t", Cover: httpapi.NewFile("a", "", []byte(big))}); err != nil {
			t.Error(err)
		}
	})
	t.Run("AreForTheirOwnFields", func(t *testing.T) {
		strict := httpapi.NewEndpoint[struct {
			Title string          `form:"title"`
			Cover *httpapi.File   `form:"cover"`
			Pages []*httpapi.File `form:"page" minItems:"2"`
		}, struct{}]("POST /books", &httpapi.EndpointOptions{Access: transport.Public, Strict: true})
		h := http.NewServeMux()
		h.Handle("POST /books", strict.Stub(nil))
		none := "--x--\r\n"
		for name, tt := range map[string]struct{ contentType, body, want string }{
			"a file for a text": {"multipart/form-data; boundary=x", part(`title"; filename="a`), "title: is not known"},
			"a text for a file": {"multipart/form-data; boundary=x", part("cover"), "cover: is not known"},
			"an unknown one":    {"multipart/form-data; boundary=x", part("zip"), "zip: is not known"},
			"two for one": {"multipart/form-data; boundary=x", part(`cover"; filename="a`) + part(`cover"; filename="b`),
				"cover: must be there once"},
			"too few": {"multipart/form-data; boundary=x", part(`page"; filename="a`), "page: must have at least 2 items"},
			"no multipart": {"application/x-www-form-urlencoded", "title=t",
				"415 the Content-Type must be multipart/form-data"},
		} {
			got := violationsOf(t, post(t, relabelled(local{h}, tt.contentType), "/books", tt.body+none))
			if len(got) != 1 || got[0] != tt.want {
				t.Errorf("%s: got %q, want %q", name, got, tt.want)
			}
		}
	})
	t.Run("ThatDidNotComeAreNotChecked", func(t *testing.T) {
		few := httpapi.NewEndpoint[struct {
			Pages []*httpapi.File `form:"page" minItems:"2"`
		}, struct{}]("POST /books", public)
		c := serve(few, func(context.Context, struct {
			Pages []*httpapi.File `form:"page" minItems:"2"`
		}) (struct{}, error) {
			return struct{}{}, nil
		})
		r, _ := http.NewRequestWithContext(t.Context(), "POST", "/books", nil)
		if resp, _ := c.Do(r); resp.StatusCode != 204 {
			t.Errorf("status %d: %q, want 204 for a form that is not there", resp.StatusCode, violationsOf(t, resp))
		}
	})
	t.Run("CanBeSentAgain", func(t *testing.T) {
		opened := 0
		f := &httpapi.File{Name: "a", Open: func() (io.ReadCloser, error) {
			opened++
			return io.NopCloser(iotest.OneByteReader(strings.NewReader("content"))), nil
		}}
		r, err := requestOf(e, upload{Title: "t", Cover: f})
		if err != nil {
			t.Fatal(err)
		}
		first, err1 := io.ReadAll(r.Body)
		again, err2 := r.GetBody()
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		second, err := io.ReadAll(again)
		if err != nil || string(first) != string(second) || opened != 2 ||
			!strings.Contains(string(first), "\r\n\r\ncontent\r\n--") {
			t.Errorf("first %q, second %q, %v; opened %d times, want 2", first, second, err, opened)
		}
	})
	t.Run("ThatCannotBeOpenedFailTheCall", func(t *testing.T) {
		c := serve(e, func(context.Context, upload) (struct{}, error) { return struct{}{}, nil })
		_, err := e.Call(t.Context(), c, upload{Title: "t", Cover: &httpapi.File{}})
		if e := asError(t, err); e.Code != transport.InvalidArgument || e.Remote {
			t.Errorf("without Open: %v, want a local invalid_argument", err)
		}
		r, err := requestOf(e, upload{Title: "t", Cover: &httpapi.File{Name: "a", Open: func() (io.ReadCloser, error) {
			return nil, fs.ErrNotExist
		}}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(r.Body); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("read: %v, want %v", err, fs.ErrNotExist)
		}
	})
}

// part is one part of a form, whose boundary is x.
func part(name string) string {
	return "--x\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\nc\r\n"
}

func read(t *testing.T, f *httpapi.File) string {
	t.Helper()
	r, err := f.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
