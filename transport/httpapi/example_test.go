package httpapi_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/httpapi"
	"github.com/mainstay-go/mainstay/transport/httpclient"
)

// The contract: what both sides import.
type (
	GetBookRequest struct {
		ISBN string `path:"isbn"`
	}
	Book struct {
		Title string `json:"title"`
	}
)

var GetBook = httpapi.NewEndpoint[GetBookRequest, Book]("GET /books/{isbn}",
	&httpapi.EndpointOptions{Access: transport.Public})

func Example() {
	// The server.
	mux := http.NewServeMux()
	httpapi.Handle(mux, GetBook, func(_ context.Context, r GetBookRequest) (Book, error) {
		if r.ISBN != "978-0134190440" {
			return Book{}, transport.Errorf(transport.NotFound, "no book %q", r.ISBN)
		}
		return Book{Title: "The Go Programming Language"}, nil
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()

	// The client.
	books := httpclient.New(srv.URL, nil)
	book, err := GetBook.Call(context.Background(), books, GetBookRequest{ISBN: "978-0134190440"})
	fmt.Println(book.Title, err)

	_, err = GetBook.Call(context.Background(), books, GetBookRequest{ISBN: "1"})
	var e *transport.Error
	fmt.Println(errors.As(err, &e), e.Code, e.Message)
	// Output:
	// The Go Programming Language <nil>
	// true not_found no book "1"
}

// The contract of a stream: Req takes the ID of the last event that the listener has seen.
type (
	WatchRequest struct {
		After int64 `header:"Last-Event-ID"`
	}
	Change struct {
		Seq  int64  `sse:"id"`
		Text string `json:"text"`
	}
)

var Watch = httpapi.NewStream[WatchRequest, Change]("GET /changes",
	&httpapi.StreamOptions{Access: transport.Public})

func ExampleStream() {
	changes := []string{"one", "two", "three"}
	mux := http.NewServeMux()
	httpapi.HandleStream(mux, Watch, func(_ context.Context, r WatchRequest, send func(Change) error) error {
		for seq := r.After + 1; seq <= int64(len(changes)); seq++ {
			if err := send(Change{Seq: seq, Text: changes[seq-1]}); err != nil {
				return err
			}
		}
		return nil // complete; a handler that waits for more returns when its context ends
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()

	for c, err := range Watch.Call(context.Background(), httpclient.New(srv.URL, nil), WatchRequest{After: 1}) {
		fmt.Println(c.Seq, c.Text, err)
	}
	// Output:
	// 2 two <nil>
	// 3 three <nil>
}
