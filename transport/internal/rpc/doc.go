// Package rpc is what grpcserver and grpcclient share: a transport.Error as a gRPC status and back, metadata as a
// carrier, and the names that the semantic conventions give to codes and methods.
//
// It promises nothing outside of the transport packages.
package rpc
