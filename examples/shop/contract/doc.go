// Package contract is what the shop's services promise each other: HTTP endpoints, a gRPC service and topics, each
// declared once as a Go value that the callee serves and the caller calls. A field renamed here stops every caller
// from compiling.
//
// In a real organisation this package is a module of its own, or one per team, that services import; nothing else of
// a service is public.
//
// Amounts are whole cents of one currency, the euro. IDs are opaque strings.
package contract

// The audiences of the internal tokens: what a caller asks a token for, and what the service checks it against.
const (
	UsersAudience   = "users"
	CatalogAudience = "catalog"
)

//go:generate ./generate.sh
