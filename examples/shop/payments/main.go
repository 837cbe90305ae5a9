// Command payments charges the customer of each order whose stock is set aside. It runs alone: -help lists its flags.
package main

import (
	"context"
	"os"

	"github.com/mainstay-go/mainstay/examples/shop/internal/platform"
	"github.com/mainstay-go/mainstay/examples/shop/payments/paymentssvc"
)

func main() {
	os.Exit(platform.Main(context.Background(), "payments", os.Args[1:], paymentssvc.New, nil))
}
