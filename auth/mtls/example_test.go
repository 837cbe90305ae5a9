package mtls_test

import (
	"crypto/tls"
	"fmt"

	"github.com/mainstay-go/mainstay/auth/mtls"
)

// A server whose certificate is renewed by somebody else, on disk.
func ExampleLoad() {
	files, err := mtls.Load("/etc/service/tls.crt", "/etc/service/tls.key", nil)
	if err != nil {
		fmt.Println("the service does not start without its certificate")
		return
	}
	_ = &tls.Config{GetCertificate: files.GetCertificate, MinVersion: tls.VersionTLS13}
	// Output: the service does not start without its certificate
}
