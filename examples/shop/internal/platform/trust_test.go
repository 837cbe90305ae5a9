package platform

import (
	"net/http"
	"testing"
)

func TestTrust(t *testing.T) {
	t.Run("GoesByTheCallersAddress", func(t *testing.T) {
		for from, want := range map[string]bool{
			"10.1.2.3:80": true, "11.1.2.3:80": false, "[::ffff:10.1.2.3]:80": true, "[fd00::1%eth0]:80": false,
			"[fd00::1]:80": true, "127.0.0.1:80": false, "@": false, "": false,
		} {
			trusted, err := prefixes("10.0.0.0/8, fd00::/8")
			if err != nil {
				t.Fatal(err)
			}
			p := &Platform{trusted: trusted}
			if got := p.trusts(&http.Request{RemoteAddr: from}); got != want {
				t.Errorf("a caller from %q is trusted: %t, want %t", from, got, want)
			}
		}
	})
	t.Run("WhatIsNoPrefixIsAnError", func(t *testing.T) {
		for _, list := range []string{"10.0.0.1", "10.0.0.0/8,", "localhost", "10.0.0.0/33"} {
			if got, err := prefixes(list); err == nil {
				t.Errorf("prefixes(%q) = %v, want an error", list, got)
			}
		}
	})
}
