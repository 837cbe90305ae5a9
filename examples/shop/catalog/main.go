// Command catalog knows what the shop sells, and answers over gRPC. It runs alone: -help lists its flags.
package main

import (
	"context"
	"os"

	"github.com/mainstay-go/mainstay/examples/shop/catalog/catalogsvc"
	"github.com/mainstay-go/mainstay/examples/shop/internal/platform"
)

func main() {
	os.Exit(platform.Main(context.Background(), "catalog", os.Args[1:], catalogsvc.New, nil))
}
