package platform

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strings"
)

// Free ports are looked for below 32768, where Linux begins to hand out the ports of outgoing connections: one of those
// could take the port of a service that is just being started again.
const (
	firstPort = 20000
	lastPort  = 32000
)

// FreeAddrs returns n loopback addresses that nobody listens on.
func FreeAddrs(n int) ([]string, error) {
	addrs := make([]string, 0, n)
	port := firstPort + rand.IntN(lastPort-firstPort-1000) // so that two shops that start at once do not collide
	for ; len(addrs) < n && port < lastPort; port++ {
		addr := local(port)
		l, err := net.Listen("tcp", addr) //nolint:noctx // it resolves nothing, so it waits for nothing
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			return nil, fmt.Errorf("addresses: %w", err)
		}
		addrs = append(addrs, addr)
	}
	if len(addrs) < n {
		return nil, fmt.Errorf("addresses: only %d of %d ports are free", len(addrs), n)
	}
	return addrs, nil
}

// Databases returns a database for each service: on the PostgreSQL server of base where that is not "", else a SQLite
// file in dir. A base that [CheckDatabases] refuses is an error.
func Databases(ctx context.Context, base, dir string, services []string) (map[string]string, error) {
	if err := CheckDatabases(base); err != nil {
		return nil, err
	}
	dbs := make(map[string]string, len(services))
	for _, name := range services {
		if base == "" {
			dbs[name] = "sqlite:" + filepath.Join(dir, name+".db")
			continue
		}
		db, err := ServiceDatabase(ctx, base, name)
		if err != nil {
			return nil, err
		}
		dbs[name] = db
	}
	return dbs, nil
}

// CheckDatabases returns an error unless base is what [Databases] takes: "" or the URL of a PostgreSQL server. One
// SQLite file is none: each service has a database of its own. The error is silent about base, which may hold a
// password.
func CheckDatabases(base string) error {
	if base == "" || strings.HasPrefix(base, "postgres://") || strings.HasPrefix(base, "postgresql://") {
		return nil
	}
	return errors.New(`-db: want "postgres://host/name", where each service gets a database of its own; ` +
		`"sqlite:file" is for a service that runs alone`)
}
