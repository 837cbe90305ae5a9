package natspubsub_test

import (
	"net"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// natsServer is a JetStream server in this process, with a file store in a temporary folder.
type natsServer struct {
	t    testing.TB
	o    *server.Options
	s    *server.Server
	conn *nats.Conn
}

func startServer(t testing.TB) *natsServer {
	t.Helper()
	n := &natsServer{t: t, o: &server.Options{
		Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true,
	}}
	n.start()
	t.Cleanup(func() { n.stop() })
	n.conn = connect(t, n.s.ClientURL())
	return n
}

func (n *natsServer) start() {
	n.t.Helper()
	s, err := server.NewServer(n.o)
	if err != nil {
		n.t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(patience) {
		n.t.Fatal("the server does not start")
	}
	n.s = s
	// The same port after a restart, so that clients find it again.
	n.o.Port = s.Addr().(*net.TCPAddr).Port
}

func (n *natsServer) stop() {
	n.s.Shutdown()
	n.s.WaitForShutdown()
}

func connect(t testing.TB, url string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url,
		nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func jetStream(t testing.TB, nc *nats.Conn) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// serverVariable names a real server to test against as well.
const serverVariable = "MAINSTAY_TEST_NATS"

func realServer(t *testing.T) string {
	t.Helper()
	url := os.Getenv(serverVariable)
	if url == "" {
		if os.Getenv("CI") == "true" && os.Getenv("MAINSTAY_TEST_REAL") == "1" {
			t.Fatalf("%s is not set", serverVariable)
		}
		t.Skipf("%s is not set", serverVariable)
	}
	return url
}
