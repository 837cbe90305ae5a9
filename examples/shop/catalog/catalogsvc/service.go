// Package catalogsvc is the catalog service: it knows what the shop sells.
package catalogsvc

import (
	"context"
	"database/sql"
	"embed"
	"errors"

	"github.com/mainstay-go/mainstay"
	"github.com/mainstay-go/mainstay/examples/shop/contract"
	"github.com/mainstay-go/mainstay/examples/shop/internal/platform"
	"github.com/mainstay-go/mainstay/transport"
)

//go:embed migrations
var migrations embed.FS

// New wires the service.
func New(ctx context.Context, p *platform.Platform) ([]mainstay.Runner, error) {
	db, err := p.OpenDB(ctx, migrations)
	if err != nil {
		return nil, err
	}
	server := p.GRPCServer()
	contract.RegisterCatalogServer(server, &service{db: db.DB})
	return []mainstay.Runner{db.Migrate(), server}, nil
}

type service struct {
	contract.UnimplementedCatalogServer
	db *sql.DB
}

// GetProduct implements contract.CatalogServer.
func (s *service) GetProduct(ctx context.Context, req *contract.GetProductRequest) (*contract.Product, error) {
	if req.GetSku() == "" {
		return nil, transport.Invalid(transport.FieldViolation{Field: "sku", Description: "is required"})
	}
	p := &contract.Product{Sku: req.GetSku()}
	err := s.db.QueryRowContext(ctx, `SELECT name, price_cents FROM products WHERE sku = $1`, p.Sku).
		Scan(&p.Name, &p.PriceCents)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, transport.Errorf(transport.NotFound, "no product %q", p.Sku)
	}
	return p, err
}
