// Package userssvc is the users service: it knows who may order.
package userssvc

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"net/http"

	"github.com/mainstay-go/mainstay"
	"github.com/mainstay-go/mainstay/examples/shop/contract"
	"github.com/mainstay-go/mainstay/examples/shop/internal/platform"
	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/httpapi"
)

//go:embed migrations
var migrations embed.FS

// New wires the service.
func New(ctx context.Context, p *platform.Platform) ([]mainstay.Runner, error) {
	db, err := p.OpenDB(ctx, migrations)
	if err != nil {
		return nil, err
	}
	s := &service{db: db.DB}
	mux := http.NewServeMux()
	httpapi.Handle(mux, contract.GetUser, s.getUser)
	return []mainstay.Runner{db.Migrate(), p.HTTPServer(mux)}, nil
}

type service struct{ db *sql.DB }

func (s *service) getUser(ctx context.Context, req contract.GetUserRequest) (contract.User, error) {
	u := contract.User{ID: req.ID}
	err := s.db.QueryRowContext(ctx, `SELECT name, email FROM users WHERE id = $1`, req.ID).Scan(&u.Name, &u.Email)
	if errors.Is(err, sql.ErrNoRows) {
		return contract.User{}, transport.Errorf(transport.NotFound, "no user %q", req.ID)
	}
	return u, err
}
