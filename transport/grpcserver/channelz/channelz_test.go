package channelz_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	channelzpb "google.golang.org/grpc/channelz/grpc_channelz_v1"
	"google.golang.org/grpc/channelz/service"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/mainstay-go/mainstay/transport/grpcserver"
	"github.com/mainstay-go/mainstay/transport/grpcserver/channelz"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs a server with the channelz service, and makes one call.
func serve(t *testing.T) *grpc.ClientConn {
	t.Helper()
	s := grpcserver.New(&grpcserver.Options{
		Unauthenticated: true, Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
	})
	service.RegisterChannelzServiceToServer(s)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ran := make(chan error, 1)
	go func() { ran <- s.Serve(ctx, ln) }()
	conn, err := grpc.NewClient(ln.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := conn.Close()
		cancel()
		if err := errors.Join(err, <-ran); err != nil {
			t.Error(err)
		}
	})
	if _, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestHandler(t *testing.T) {
	conn := serve(t)
	pages := channelz.Handler()
	get := func(path string) (code int, body string) {
		rec := httptest.NewRecorder()
		pages.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
		if rec.Code == http.StatusOK && !json.Valid(rec.Body.Bytes()) {
			t.Errorf("GET %s is no JSON: %s", path, rec.Body)
		}
		return rec.Code, rec.Body.String()
	}
	// follow gets a page, and returns the ID that it has under a name.
	follow := func(path, name string) string {
		t.Helper()
		code, body := get(path)
		found := regexp.MustCompile(`"` + name + `":\s*"(\d+)"`).FindStringSubmatch(body)
		if code != http.StatusOK || found == nil {
			t.Fatalf("GET %s = %d without %s: %s", path, code, name, body)
		}
		return found[1]
	}
	t.Run("LeadsFromAClientToItsSocket", func(t *testing.T) {
		channel := follow("/", "channelId")
		subchannel := follow("/channels/"+channel, "subchannelId")
		socket := follow("/subchannels/"+subchannel, "socketId")
		if _, body := get("/sockets/" + socket); !strings.Contains(body, `"messagesSent"`) {
			t.Errorf("the socket has no counts: %s", body)
		}
	})
	t.Run("LeadsFromAServerToItsSockets", func(t *testing.T) {
		server := follow("/servers", "serverId")
		follow("/servers/"+server+"/sockets", "socketId")
	})
	t.Run("KnowsNothingElse", func(t *testing.T) {
		for _, path := range []string{
			"/channels/999999", "/channels/x", "/channels/-1", "/sockets/99999999999999999999", "/?start=x", "/nothing",
		} {
			if code, body := get(path); code != http.StatusNotFound {
				t.Errorf("GET %s = %d %s, want 404", path, code, body)
			}
		}
	})
	t.Run("BeginsWhereItIsAsked", func(t *testing.T) {
		if _, body := get("/?start=999999"); strings.Contains(body, "channelId") {
			t.Errorf("channels below the start: %s", body)
		}
	})
	t.Run("IsAServiceOfAServerToo", func(t *testing.T) {
		res, err := channelzpb.NewChannelzClient(conn).GetServers(t.Context(), &channelzpb.GetServersRequest{})
		if err != nil || len(res.GetServer()) == 0 {
			t.Errorf("%v, %v, want the server itself", res, err)
		}
	})
}

func ExampleHandler() {
	mux := http.NewServeMux() // that of a private port; see package admin, too
	mux.Handle("/debug/channelz/", http.StripPrefix("/debug/channelz", channelz.Handler()))
	rec := httptest.NewRecorder()
	mux.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/debug/channelz/channels/0", nil))
	fmt.Print(rec.Body)
	// Output: requested channel 0 not found
}
