package main
import ("testing";"syscall";"context";"go.opentelemetry.io/otel/trace/noop")
func cpu() int64 { var r syscall.Rusage; syscall.Getrusage(0,&r); return r.Utime.Nano()+r.Stime.Nano() }
func benchWay(b *testing.B, w way) {
	s, err := w.start(context.Background()); if err != nil { b.Fatal(err) }
	defer s.stop()
	s.measure(1000)()
	b.ReportAllocs(); b.ResetTimer()
	c := cpu()
	if _, err := s.measure(b.N)(); err != nil { b.Fatal(err) }
	b.ReportMetric(float64(cpu()-c)/float64(b.N), "cpu-ns/op")
}
func BenchmarkBare(b *testing.B) { benchWay(b, kitInMemory("x", noop.NewTracerProvider())) }
func BenchmarkObserved(b *testing.B) { benchWay(b, kitInMemory("x", sampling())) }
func BenchmarkGoChannel(b *testing.B) { benchWay(b, goChannel()) }
func BenchmarkGocloud(b *testing.B) { benchWay(b, gocloudInMemory()) }
