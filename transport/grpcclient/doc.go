// Package grpcclient makes gRPC connections whose calls carry the correlation ID, the trace, a token and a deadline,
// and whose errors are [transport.Error] values again.
package grpcclient
