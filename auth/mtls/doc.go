// Package mtls is certificates for TLS on both sides: for now [Files], a certificate that follows its files.
//
//	files, err := mtls.Load("tls.crt", "tls.key", nil)
//	config := &tls.Config{GetCertificate: files.GetCertificate} // of a server
//
// For mutual TLS add ClientAuth: tls.RequireAndVerifyClientCert and ClientCAs to a server's configuration, and
// GetClientCertificate: files.GetClientCertificate to a client's.
//
// It imports nothing but the standard library.
package mtls
