package transport

import "fmt"

// Access says who may call an endpoint. The zero value is the strictest, so that an endpoint which says nothing is
// closed to the world.
type Access uint8

const (
	InternalOnly  Access = iota // a verified service (auth.KindService)
	Authenticated               // any verified principal
	Public                      // anybody, with or without a credential
)

// String returns "internal", "authenticated" or "public".
func (a Access) String() string {
	switch a {
	case InternalOnly:
		return "internal"
	case Authenticated:
		return "authenticated"
	case Public:
		return "public"
	}
	return fmt.Sprintf("access_%d", uint8(a))
}
