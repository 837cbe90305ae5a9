package main

import (
	"github.com/mainstay-go/mainstay/examples/shop/catalog/catalogsvc"
	"github.com/mainstay-go/mainstay/examples/shop/internal/platform"
	"github.com/mainstay-go/mainstay/examples/shop/inventory/inventorysvc"
	"github.com/mainstay-go/mainstay/examples/shop/notifications/notificationssvc"
	"github.com/mainstay-go/mainstay/examples/shop/orders/orderssvc"
	"github.com/mainstay-go/mainstay/examples/shop/payments/paymentssvc"
	"github.com/mainstay-go/mainstay/examples/shop/users/userssvc"
)

// service is a name and what is behind it.
type service struct {
	name string
	wire platform.Wire
}

// services returns all of them in the order in which they start: who is called before who calls, and who listens
// before who speaks, since a subscription gets what is published after it was first opened.
func services() []service {
	return []service{
		{"users", userssvc.New},
		{"catalog", catalogsvc.New},
		{"notifications", notificationssvc.New},
		{"payments", paymentssvc.New},
		{"inventory", inventorysvc.New},
		{"orders", orderssvc.New},
	}
}

func find(name string) (service, bool) {
	for _, s := range services() {
		if s.name == name {
			return s, true
		}
	}
	return service{}, false
}

func names() []string {
	var names []string
	for _, s := range services() {
		names = append(names, s.name)
	}
	return names
}
