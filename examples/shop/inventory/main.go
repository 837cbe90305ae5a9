// Command inventory sets the stock of each order aside. It runs alone: -help lists its flags.
package main

import (
	"context"
	"os"

	"github.com/mainstay-go/mainstay/examples/shop/internal/platform"
	"github.com/mainstay-go/mainstay/examples/shop/inventory/inventorysvc"
)

func main() {
	os.Exit(platform.Main(context.Background(), "inventory", os.Args[1:], inventorysvc.New, nil))
}
