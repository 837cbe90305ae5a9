#!/bin/sh
# Writes catalog.pb.go and catalog_grpc.pb.go from catalog.proto. It needs protoc on the PATH (Debian and Ubuntu:
# apt-get install protobuf-compiler); the two Go plugins are built here, at the versions named, into a temporary folder.
set -eu
cd "$(dirname "$0")/../.." # the file registers itself under its path: shop/contract/catalog.proto
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
GOBIN=$bin go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12
GOBIN=$bin go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2
PATH=$bin:$PATH protoc --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative \
	shop/contract/catalog.proto
