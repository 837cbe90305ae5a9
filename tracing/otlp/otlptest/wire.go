package otlptest

import (
	"compress/gzip"
	"context"
	"io"
	"mime"
	"net/http"
	"strings"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip" // for exports that are compressed
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

const contentType = "application/x-protobuf"

// Register has s pass its exports to r.
func (r *Receiver) Register(s grpc.ServiceRegistrar) {
	collector.RegisterTraceServiceServer(s, service{r: r})
}

// service is the gRPC face of a Receiver, which has the generated type in it.
type service struct {
	collector.UnimplementedTraceServiceServer
	r *Receiver
}

func (s service) Export(
	ctx context.Context, req *collector.ExportTraceServiceRequest,
) (*collector.ExportTraceServiceResponse, error) {
	header := http.Header{}
	md, _ := metadata.FromIncomingContext(ctx)
	for key, values := range md {
		header[http.CanonicalHeaderKey(key)] = values
	}
	return s.r.take(ctx, req, header)
}

// ServeHTTP takes an export over HTTP as OTLP/HTTP says: a POST of protobuf, gzip or not, to a path that ends in
// /v1/traces.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	mediaType, _, _ := mime.ParseMediaType(req.Header.Get("Content-Type"))
	switch {
	case !strings.HasSuffix(req.URL.Path, "/v1/traces"):
		http.Error(w, "otlptest: not a path for traces", http.StatusNotFound)
		return
	case req.Method != http.MethodPost:
		http.Error(w, "otlptest: not a POST", http.StatusMethodNotAllowed)
		return
	case mediaType != contentType:
		http.Error(w, "otlptest: not "+contentType, http.StatusUnsupportedMediaType)
		return
	}
	var export collector.ExportTraceServiceRequest
	if err := read(w, req, &export); err != nil {
		reply(w, http.StatusBadRequest, status.New(codes.InvalidArgument, "otlptest: "+err.Error()).Proto())
		return
	}
	res, err := r.take(req.Context(), &export, req.Header)
	if err != nil {
		s := status.Convert(err)
		reply(w, httpStatus(s.Code()), s.Proto())
		return
	}
	reply(w, http.StatusOK, res)
}

func read(w http.ResponseWriter, req *http.Request, m proto.Message) error {
	body := io.Reader(http.MaxBytesReader(w, req.Body, maxExport))
	if req.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(body)
		if err != nil {
			return err
		}
		body = http.MaxBytesReader(w, z, maxExport)
	}
	b, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	return proto.Unmarshal(b, m)
}

func httpStatus(c codes.Code) int {
	switch c {
	case codes.Unavailable:
		return http.StatusServiceUnavailable
	case codes.ResourceExhausted:
		return http.StatusTooManyRequests
	}
	return http.StatusBadRequest
}

func reply(w http.ResponseWriter, code int, m proto.Message) {
	b, err := proto.Marshal(m)
	if err != nil { // a message of the test's own
		http.Error(w, "otlptest: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(code)
	w.Write(b)
}
