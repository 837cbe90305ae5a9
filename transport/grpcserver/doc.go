// Package grpcserver serves gRPC under a context: identified, observed and authenticated calls, and an end that is
// bounded.
package grpcserver
