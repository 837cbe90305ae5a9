package httpapitest_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/mainstay-go/mainstay/transport/httpapi"
	"github.com/mainstay-go/mainstay/transport/httpapi/httpapitest"
)

// What a consumer's team writes: the contract comes from the provider's package, the stub from the test.
func Example() {
	t := &example{}
	defer t.end()

	srv := httpapitest.NewServer(t, get.Stub(func(_ context.Context, r getUser) (user, error) {
		return user{ID: r.ID, Status: "blocked"}, nil
	}))

	fmt.Println(mayOrder(srv, "42"))
	// Output: false
}

// mayOrder is the code under test.
func mayOrder(users httpapi.Caller, id string) bool {
	u, err := get.Call(context.Background(), users, getUser{ID: id})
	return err == nil && u.Status == "active"
}

// example is a test where there is none.
type example struct {
	testing.TB
	cleanups []func()
}

func (*example) Helper()            {}
func (e *example) Cleanup(f func()) { e.cleanups = append(e.cleanups, f) }

func (e *example) end() {
	for _, f := range e.cleanups {
		f()
	}
}
