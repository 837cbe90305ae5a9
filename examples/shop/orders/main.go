// Command orders takes orders over HTTP, at the shop's edge, and asks users and catalog about them. It runs alone:
// -help lists its flags.
package main

import (
	"context"
	"os"

	"github.com/mainstay-go/mainstay/examples/shop/internal/platform"
	"github.com/mainstay-go/mainstay/examples/shop/orders/orderssvc"
)

func main() {
	os.Exit(platform.Main(context.Background(), "orders", os.Args[1:], orderssvc.New, nil))
}
