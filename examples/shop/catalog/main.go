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
