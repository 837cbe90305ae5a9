// Package channelz shows what the gRPC library knows of its own connections: the state, the last events and the counts
// of every client, server and socket of the process, as JSON.
//
//	admin.New(&admin.Options{Pages: map[string]http.Handler{"/debug/channelz/": channelz.Handler()}})
//
// It is a package of its own because whoever imports it pays: the library's package that it is made of has the library
// keep these figures, in the whole process and for ever. For grpcdebug and the like, that package's function
// RegisterChannelzServiceToServer (google.golang.org/grpc/channelz/service) takes a [grpcserver.Server], whose rules
// say who may ask.
//
// [grpcserver.Server]: https://pkg.go.dev/github.com/mainstay-go/mainstay/transport/grpcserver#Server
package channelz

import (
	"context"
	"net/http"
	"strconv"

	"google.golang.org/grpc"
	channelzpb "google.golang.org/grpc/channelz/grpc_channelz_v1"
	"google.golang.org/grpc/channelz/service"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Handler returns the pages. Lists have at most 100 entries; ?start=ID begins at that one.
//
//	GET /                       the clients' channels (what grpc.NewClient returns)
//	GET /servers                the servers
//	GET /channels/{id}          one channel
//	GET /subchannels/{id}       one of its connections to an address
//	GET /servers/{id}/sockets   the connections of a server
//	GET /sockets/{id}           one connection
//
// What is not there, or no more, is 404. It shows addresses and asks nobody who they are: serve it on a private port.
func Handler() http.Handler {
	var z taken
	service.RegisterChannelzServiceToServer(&z)
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", page(func(ctx context.Context, q query) (proto.Message, error) {
		return z.GetTopChannels(ctx, &channelzpb.GetTopChannelsRequest{StartChannelId: q.start})
	}))
	mux.Handle("GET /servers", page(func(ctx context.Context, q query) (proto.Message, error) {
		return z.GetServers(ctx, &channelzpb.GetServersRequest{StartServerId: q.start})
	}))
	mux.Handle("GET /channels/{id}", page(func(ctx context.Context, q query) (proto.Message, error) {
		return z.GetChannel(ctx, &channelzpb.GetChannelRequest{ChannelId: q.id})
	}))
	mux.Handle("GET /subchannels/{id}", page(func(ctx context.Context, q query) (proto.Message, error) {
		return z.GetSubchannel(ctx, &channelzpb.GetSubchannelRequest{SubchannelId: q.id})
	}))
	mux.Handle("GET /servers/{id}/sockets", page(func(ctx context.Context, q query) (proto.Message, error) {
		return z.GetServerSockets(ctx, &channelzpb.GetServerSocketsRequest{ServerId: q.id, StartSocketId: q.start})
	}))
	mux.Handle("GET /sockets/{id}", page(func(ctx context.Context, q query) (proto.Message, error) {
		return z.GetSocket(ctx, &channelzpb.GetSocketRequest{SocketId: q.id})
	}))
	return mux
}

// taken is a registrar that takes the library's service, whose constructor is not exported.
type taken struct{ channelzpb.ChannelzServer }

// RegisterService takes impl.
func (t *taken) RegisterService(_ *grpc.ServiceDesc, impl any) {
	t.ChannelzServer = impl.(channelzpb.ChannelzServer) // it is of that service
}

// query is what a page is asked for, zero for what is not in it.
type query struct{ id, start int64 }

// page answers with what the service says.
type page func(context.Context, query) (proto.Message, error)

func (p page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q, ok := read(r)
	if !ok {
		http.NotFound(w, r) // no ID is no number
		return
	}
	m, err := p(r.Context(), q)
	if err != nil {
		code := http.StatusInternalServerError
		if status.Code(err) == codes.NotFound {
			code = http.StatusNotFound
		}
		http.Error(w, status.Convert(err).Message(), code)
		return
	}
	body, err := protojson.MarshalOptions{Multiline: true}.Marshal(m)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body) // who reads it may leave
}

func read(r *http.Request) (q query, ok bool) {
	for text, into := range map[string]*int64{r.PathValue("id"): &q.id, r.FormValue("start"): &q.start} {
		if text == "" {
			continue
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			return q, false
		}
		*into = n
	}
	return q, true
}
