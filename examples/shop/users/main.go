// Command users knows who may order, and answers over HTTP. It runs alone: -help lists its flags.
package main

import (
	"context"
	"os"

	"github.com/mainstay-go/mainstay/examples/shop/internal/platform"
	"github.com/mainstay-go/mainstay/examples/shop/users/userssvc"
)

func main() {
	os.Exit(platform.Main(context.Background(), "users", os.Args[1:], userssvc.New, nil))
}
