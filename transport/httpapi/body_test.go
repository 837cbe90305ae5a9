package httpapi_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/httpapi"
)

type (
	putImage struct {
		Name string `path:"name"`
		Type string `header:"Content-Type"`
		Data []byte `body:"image/*" api:"required"`
	}
	putStream struct {
		Data io.Reader `body:"text/csv"`
	}
)

func TestBodyAsItIs(t *testing.T) {
	image := httpapi.NewEndpoint[putImage, struct{}]("PUT /images/{name}",
		&httpapi.EndpointOptions{Access: transport.Public, MaxBody: 10})
	var got putImage
	c := serve(image, func(_ context.Context, r putImage) (struct{}, error) { got = r; return struct{}{}, nil })

	t.Run("ReachesTheHandler", func(t *testing.T) {
		want := putImage{Name: "a", Type: "image/png", Data: []byte("0123456789")}
		if _, err := image.Call(t.Context(), c, want); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("the handler saw %+v, %v, want %+v", got, err, want)
		}
	})
	for _, tt := range []struct {
		name string
		sent putImage
		want string
	}{
		{"PastTheLimit", putImage{Name: "a", Type: "image/png", Data: make([]byte, 11)}, "the body is larger than 10 bytes"},
		{"OfAnotherType", putImage{Name: "a", Type: "text/html", Data: []byte("x")}, "the Content-Type must be image/*"},
		{"OfNoType", putImage{Name: "a", Data: []byte("x")}, "the Content-Type must be image/*"},
		{"Missing", putImage{Name: "a", Type: "image/png"}, "the request is not valid: : is required"},
	} {
		t.Run("IsRefused"+tt.name, func(t *testing.T) {
			_, err := image.Call(t.Context(), c, tt.sent)
			if e := asError(t, err); e.Code != transport.InvalidArgument || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}

	stream := httpapi.NewEndpoint[putStream, struct{}]("POST /rows",
		&httpapi.EndpointOptions{Access: transport.Public, MaxBody: 10})
	count := func(_ context.Context, r putStream) (struct{}, error) {
		_, err := io.Copy(io.Discard, r.Data)
		return struct{}{}, err
	}
	t.Run("IsReadByTheHandler", func(t *testing.T) {
		var got []byte
		c := serve(stream, func(_ context.Context, r putStream) (_ struct{}, err error) {
			got, err = io.ReadAll(r.Data)
			return struct{}{}, err
		})
		_, err := stream.Call(t.Context(), c, putStream{strings.NewReader("a,b\nc,d")})
		if err != nil || string(got) != "a,b\nc,d" {
			t.Errorf("the handler read %q, %v", got, err)
		}
		if _, err := stream.Call(t.Context(), c, putStream{}); err != nil || len(got) != 0 {
			t.Errorf("without a body: the handler read %q, %v", got, err)
		}
	})
	t.Run("PastTheLimitIs413AfterTheHandlersError", func(t *testing.T) {
		resp := post(t, relabelled(serve(stream, count), "text/csv"), "/rows", strings.Repeat("x", 11))
		if resp.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("status %d, want 413", resp.StatusCode)
		}
	})
	t.Run("CanBeSentAgain", func(t *testing.T) {
		r, err := requestOf(stream, putStream{bytes.NewReader([]byte("abc"))})
		if err != nil || r.GetBody == nil {
			t.Fatalf("GetBody is nil, %v", err)
		}
	})
}

func relabelled(c local, contentType string) local { return local{relabel{c.h, contentType}} }

// requestOf returns the request that a call sends.
func requestOf[Req, Res any](e *httpapi.Endpoint[Req, Res], req Req) (sent *http.Request, err error) {
	_, err = e.Call(context.Background(), keeping{&sent}, req)
	if errors.Is(err, errKept) {
		err = nil
	}
	return sent, err
}

type keeping struct{ sent **http.Request }

var errKept = errors.New("kept")

func (k keeping) Do(r *http.Request) (*http.Response, error) {
	*k.sent = r
	return nil, errKept
}

func TestBodyDeclarations(t *testing.T) {
	for name, tt := range map[string]struct {
		declare func()
		want    string
	}{
		"TwoBodies": {declare[struct {
			A []byte `body:"a/b"`
			B []byte `body:"a/b"`
		}], "is a second body"},
		"BodyAndJSON": {declare[struct {
			A []byte `body:"a/b"`
			B string
		}], "a body is JSON, a form, or one field as it is, not two of these"},
		"FormAndJSON": {declare[struct {
			A string `form:"a"`
			B string `json:"b"`
		}], "a body is JSON, a form, or one field as it is, not two of these"},
		"NoMediaType": {declare[struct {
			A []byte `body:"json"`
		}], "has no media type"},
		"AStringBody": {declare[struct {
			A string `body:"text/plain"`
		}], "it must be a []byte, an io.Reader or an io.ReadCloser"},
		"ContentTypeBesideJSON": {declare[struct {
			A string `header:"content-type"`
			B string `json:"b"`
		}], "is for a body that is read as it is"},
		"AFileWithADefault": {declare[struct {
			A *httpapi.File `form:"a" default:"x"`
		}], "has no default: it is required, or a file"},
		"AFileInTheQuery": {declare[struct {
			A *httpapi.File `query:"a"`
		}], "no parameter can be a"},
		"AFormOnGet": {func() {
			httpapi.NewEndpoint[struct {
				A string `form:"a"`
			}, struct{}]("GET /x", nil)
		}, "GET has no body"},
	} {
		t.Run("Refuses"+name, func(t *testing.T) {
			defer func() {
				if v, _ := recover().(string); !strings.Contains(v, tt.want) {
					t.Errorf("got %q, want %q", v, tt.want)
				}
			}()
			tt.declare()
		})
	}
}
