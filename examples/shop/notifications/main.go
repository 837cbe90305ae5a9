package main

import (
	"context"
	"os"

	"github.com/mainstay-go/mainstay/examples/shop/internal/platform"
	"github.com/mainstay-go/mainstay/examples/shop/notifications/notificationssvc"
)

func main() {
	os.Exit(platform.Main(context.Background(), "notifications", os.Args[1:], notificationssvc.New, nil))
}
