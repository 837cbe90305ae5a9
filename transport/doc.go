// Package transport holds what HTTP and gRPC share: one error model ([Error], [Code]) that crosses both wires and
// comes back as the same Go value, who may call an endpoint ([Access]), and the names of the headers that the kit
// reads and writes.
//
// It imports the standard library only. The servers and clients live below it: httpserver and httpclient, grpcserver
// and grpcclient hold the same concerns in files of the same names.
package transport
