package grpcserver

// Bearer is the parser of the authorization metadata.
func Bearer(values []string) (string, error) { return bearer(values) }
