package platform

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"time"
)

// Config is what a service is told when it starts. [Config.Flags] fills it in from the command line.
type Config struct {
	// Name is the service's: in logs, spans and messages, the subject of its tokens and the audience of others'.
	Name string
	// HTTP, GRPC and Admin are the addresses to listen on, "host:port". A service uses those that it has a server for.
	HTTP, GRPC, Admin string
	// Broker is the URL of a NATS server with JetStream. "" starts one in this process, with a temporary folder.
	Broker string
	// DB names the service's own database: "sqlite:file" or a "postgres://" URL, whose database has to exist. "" is a
	// SQLite file in a temporary folder.
	DB string
	// UsersURL and CatalogAddr are where the services of these names are found.
	UsersURL, CatalogAddr string
	// Trust lists the addresses, as prefixes with commas in between, of those whom the edge takes at their word: they say
	// what their correlation ID and their trace are, and that the trace is to be kept. "" is this machine's own.
	Trust string
	// SecretFile holds the secret, 32 bytes or more, that all services sign their tokens with. "" is a secret that
	// everybody knows, for development.
	SecretFile string
	// TraceFile is where finished spans are appended to, one JSON value a line. "" is nowhere.
	TraceFile string
	// OTLP is the collector that finished spans go to instead: "grpc://host:port", or an http:// or https:// URL. Its
	// credentials are read from OpenTelemetry's own variables. "" is none.
	OTLP string
	// TraceRatio is the share of the traces begun here that is kept. Zero means 1, all; negative means none.
	TraceRatio float64
	// Lease is how long a replica that died keeps what it held from the others: the messages that it was handling, and
	// the right to relay its outbox. Zero means the kit's defaults.
	Lease time.Duration
	// LogFormat is "json" or "text".
	LogFormat string
}

// Flags adds a flag for each field but Name to fs, with defaults by which the services, each run alone, find each
// other.
func (c *Config) Flags(fs *flag.FlagSet) {
	fs.StringVar(&c.HTTP, "http", local(httpPorts[c.Name]), "address of the HTTP server")
	fs.StringVar(&c.GRPC, "grpc", local(grpcPorts[c.Name]), "address of the gRPC server")
	fs.StringVar(&c.Admin, "admin", local(adminPorts[c.Name]), "address of the admin pages: metrics, health, pprof")
	fs.StringVar(&c.Broker, "broker", "", "NATS server with JetStream, nats://host:port (default: one in this process)")
	fs.StringVar(&c.DB, "db", "", "database, sqlite:file or postgres://... (default: a temporary SQLite file)")
	fs.StringVar(&c.UsersURL, "users-url", "http://"+local(httpPorts["users"]), "where users is")
	fs.StringVar(&c.CatalogAddr, "catalog-addr", local(grpcPorts["catalog"]), "where catalog is")
	fs.StringVar(&c.Trust, "trust", loopback, "whose IDs, traces and X-Trace-Sample the edge takes, as address prefixes")
	fs.StringVar(&c.SecretFile, "secret-file", "", "file with the secret of the internal tokens (default: a known one)")
	fs.StringVar(&c.TraceFile, "trace-file", "", "file to append spans to (default: none)")
	fs.StringVar(&c.OTLP, "otlp", "", "collector to send spans to, http://host:4318 or grpc://host:4317 (default: none)")
	fs.Float64Var(&c.TraceRatio, "trace-ratio", 1, "share of the traces begun here that is kept; negative for none")
	fs.DurationVar(&c.Lease, "lease", 10*time.Second, "how long a dead replica keeps what it held from the others")
	fs.StringVar(&c.LogFormat, "log-format", "json", "json or text")
}

// The ports of services that run alone, below the range that systems hand out by themselves.
var (
	httpPorts  = map[string]int{"orders": 8080, "users": 8081}
	grpcPorts  = map[string]int{"catalog": 9090}
	adminPorts = map[string]int{
		"orders": 8180, "users": 8181, "catalog": 8182, "inventory": 8183, "payments": 8184, "notifications": 8185,
	}
)

// local returns a loopback address. Port 0 lets the system choose.
func local(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// developmentSecret signs the tokens of services that were not given a secret. Whoever reads this can forge them.
const developmentSecret = "the shop's development secret: known to everybody"

// secret returns the secret of the internal tokens, and whether it deserves the name.
func (c *Config) secret() (secret []byte, safe bool, err error) {
	if c.SecretFile == "" {
		return []byte(developmentSecret), false, nil
	}
	data, err := os.ReadFile(c.SecretFile)
	if err != nil {
		return nil, false, fmt.Errorf("secret: %w", err)
	}
	return []byte(strings.TrimSpace(string(data))), true, nil
}
