package grpcclient

import (
	"fmt"

	"google.golang.org/grpc"
	_ "google.golang.org/grpc/health" // without it the client does not watch health
)

// New returns a connection to target, a name as the library reads it: "catalog:9090" is resolved by DNS, with all its
// addresses in turn. It does not wait for the server: calls fail with Unavailable while there is none. Nil options are
// defaults. Close the connection when its last call has ended.
func New(target string, o *Options) (*grpc.ClientConn, error) {
	if o == nil {
		o = &Options{}
	}
	i, err := intercept(o)
	if err != nil {
		return nil, fmt.Errorf("grpcclient: %q: %w", target, err)
	}
	config, err := o.serviceConfig()
	if err != nil {
		return nil, fmt.Errorf("grpcclient: %q: %w", target, err)
	}
	conn, err := grpc.NewClient(target, o.dial(i, config)...)
	if err != nil {
		return nil, fmt.Errorf("grpcclient: %q: %w", target, err)
	}
	return conn, nil
}
