package transport_test

import (
	"errors"
	"fmt"

	"github.com/mainstay-go/mainstay/transport"
)

// A handler's error says to the caller what the caller may know; its cause stays here.
func ExampleNewError() {
	cause := errors.New("sql: no rows in result set")
	err := fmt.Errorf("get user: %w", transport.NewError(transport.NotFound, "no such user", cause))

	sent := transport.AsError(err)
	fmt.Println(sent.Code.HTTPStatus(), sent.Code, "-", sent.Message)
	fmt.Println(errors.Is(err, cause))
	// Output:
	// 404 not_found - no such user
	// true
}
