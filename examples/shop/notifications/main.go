// Command notifications tells each customer that the order is paid. It runs alone: -help lists its flags.
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
