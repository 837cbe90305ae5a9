package grpcclient

import (
	"net"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"google.golang.org/grpc"
)

// serverAttributes name whom the connection was made to, not which of several addresses it picked.
func serverAttributes(cc *grpc.ClientConn) []attribute.KeyValue {
	if cc == nil {
		return nil
	}
	target := cc.Target()
	if i := strings.LastIndex(target, "://"); i >= 0 {
		_, target, _ = strings.Cut(target[i+len("://"):], "/") // past the authority, which is a name server's
	}
	host, port, err := net.SplitHostPort(target)
	if err != nil {
		return []attribute.KeyValue{semconv.ServerAddress(target)}
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return []attribute.KeyValue{semconv.ServerAddress(host)}
	}
	return []attribute.KeyValue{semconv.ServerAddress(host), semconv.ServerPort(n)}
}
