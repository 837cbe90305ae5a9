// Package orderssvc is the orders service: the shop's edge. It asks users and catalog about an order, stores it, and
// tells the others of it through the outbox, in one transaction.
package orderssvc

import (
	"context"
	"database/sql"
	"embed"
	"log/slog"
	"net/http"

	"github.com/mainstay-go/mainstay"
	"github.com/mainstay-go/mainstay/examples/shop/contract"
	"github.com/mainstay-go/mainstay/examples/shop/internal/platform"
	"github.com/mainstay-go/mainstay/sqlx/inbox"
	"github.com/mainstay-go/mainstay/sqlx/outbox"
	"github.com/mainstay-go/mainstay/transport/httpapi"
	"github.com/mainstay-go/mainstay/transport/httpclient"
)

//go:embed migrations
var migrations embed.FS

// New wires the service.
func New(ctx context.Context, p *platform.Platform) ([]mainstay.Runner, error) {
	db, err := p.OpenDB(ctx, migrations)
	if err != nil {
		return nil, err
	}
	broker, err := p.Connect()
	if err != nil {
		return nil, err
	}
	users, err := p.HTTPClient(p.UsersURL, contract.UsersAudience)
	if err != nil {
		return nil, err
	}
	catalog, err := p.GRPCClient(p.CatalogAddr, contract.CatalogAudience, contract.Catalog_GetProduct_FullMethodName)
	if err != nil {
		return nil, err
	}
	s := &service{
		db:      db.DB,
		box:     db.Outbox,
		log:     p.Logger,
		users:   users,
		catalog: contract.NewCatalogClient(catalog),
	}
	mux := http.NewServeMux()
	httpapi.Handle(mux, contract.PlaceOrder, s.placeOrder)
	httpapi.Handle(mux, contract.GetOrder, s.getOrder)
	return []mainstay.Runner{
		db.Migrate(db.Outbox.Migrate, db.Inbox.Migrate),
		p.Declare(broker, contract.OrderCreated, contract.PaymentCharged),
		db.Tidy(),
		db.Relay(broker),
		inbox.Subscribe(db.Inbox, broker, contract.PaymentCharged, p.Name, s.paymentCharged, p.Subscription()),
		p.EdgeServer(mux),
	}, nil
}

type service struct {
	db      *sql.DB
	box     *outbox.Outbox
	log     *slog.Logger
	users   *httpclient.Client
	catalog contract.CatalogClient
}
