package rpc

import (
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/mainstay-go/mainstay/transport"
)

// Other is the method label of what is not registered (attribute rpc.method of the semantic conventions).
const Other = "_OTHER"

// maxOriginal bounds what is kept of a method name that somebody made up.
const maxOriginal = 256

// codeNames are those of gRPC's statuscodes.md, which the semantic conventions refer to: the names of the table in
// package transport, in capitals.
var codeNames = namesOf()

func namesOf() (names [codes.Unauthenticated + 1]string) {
	for c := range names {
		names[c] = strings.ToUpper(transport.Code(c).String()) //nolint:gosec // of seventeen
	}
	names[codes.Canceled] = "CANCELLED" // which Go spells with one L
	return names
}

// CodeName returns the name of c, "UNKNOWN" for a number that gRPC does not define.
func CodeName(c codes.Code) string { return codeNames[Known(c)] }

// Known returns c, Unknown for a number that gRPC does not define.
func Known(c codes.Code) codes.Code {
	if int(c) < len(codeNames) {
		return c
	}
	return codes.Unknown
}

// Method returns the attribute rpc.method of a full method name: "pkg.Service/Method" of "/pkg.Service/Method".
func Method(full string) string { return strings.TrimPrefix(full, "/") }

// Service returns the service of a full method name: "pkg.Service" of "/pkg.Service/Method".
func Service(full string) string {
	s := Method(full)
	return s[:max(strings.LastIndexByte(s, '/'), 0)]
}

// Original returns a method name that somebody made up, fit for a span and a log line: bounded, and UTF-8.
func Original(full string) string {
	return strings.ToValidUTF8(clip(Method(full), maxOriginal), "\uFFFD")
}
