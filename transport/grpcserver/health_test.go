package grpcserver_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	testpb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/mainstay-go/mainstay/transport/grpcserver"
	"github.com/mainstay-go/mainstay/transport/health"
)

func TestHealth(t *testing.T) {
	for name, checks := range map[string]bool{"TurnsFirstAndStaysTurned": false, "WithChecksToo": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := &grpcserver.Options{}
				if checks {
					o.Health = newDependencies("database").checks()
				}
				r := newRig(o).serve(t, &service{})
				svc := testpb.TestService_ServiceDesc.ServiceName
				watch, err := healthpb.NewHealthClient(r.conn).Watch(within(t, time.Hour), &healthpb.HealthCheckRequest{Service: svc})
				if err != nil {
					t.Fatal(err)
				}
				expect := func(want healthpb.HealthCheckResponse_ServingStatus) {
					t.Helper()
					if got, err := watch.Recv(); err != nil || got.GetStatus() != want {
						t.Fatalf("watch: %v, %v, want %v", got.GetStatus(), err, want)
					}
				}
				expect(healthpb.HealthCheckResponse_SERVING)
				r.Drain()
				expect(healthpb.HealthCheckResponse_NOT_SERVING)
				for range 10 {
					r.Health().SetServingStatus(svc, healthpb.HealthCheckResponse_SERVING)
					time.Sleep(50 * time.Millisecond)
					if err := r.call(t.Context()); err != nil {
						t.Errorf("a call during the delay: %v", err)
					}
				}
				got, err := healthpb.NewHealthClient(r.conn).Check(t.Context(), &healthpb.HealthCheckRequest{})
				if err != nil || got.GetStatus() != healthpb.HealthCheckResponse_NOT_SERVING {
					t.Errorf("check: %v, %v, want NOT_SERVING", got.GetStatus(), err)
				}
				began := time.Now()
				if err := r.stop(); err != nil || time.Since(began) > 100*time.Millisecond {
					t.Errorf("Run = %v after %v: the open watch held it up", err, time.Since(began))
				}
				expect(healthpb.HealthCheckResponse_NOT_SERVING)
				if _, err := watch.Recv(); !errors.Is(err, io.EOF) {
					t.Errorf("watch ends with %v, want EOF", err)
				}
			})
		})
	}
	t.Run("IsNotServingBeforeTheStart", func(t *testing.T) {
		s := grpcserver.New(open())
		testpb.RegisterTestServiceServer(s, &service{})
		for _, svc := range []string{"", testpb.TestService_ServiceDesc.ServiceName} {
			got, err := s.Health().Check(t.Context(), &healthpb.HealthCheckRequest{Service: svc})
			if err != nil || got.GetStatus() != healthpb.HealthCheckResponse_NOT_SERVING {
				t.Errorf("%q: %v, %v, want NOT_SERVING", svc, got.GetStatus(), err)
			}
		}
	})
	t.Run("WatcherThatLeavesEndsItsWatch", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(&grpcserver.Options{}).serve(t, &service{})
			ctx, cancel := context.WithCancel(t.Context())
			watch, err := healthpb.NewHealthClient(r.conn).Watch(ctx, &healthpb.HealthCheckRequest{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := watch.Recv(); err != nil {
				t.Fatal(err)
			}
			cancel()
			synctest.Wait()
			if err := r.stop(); err != nil {
				t.Error(err)
			}
			if got := inProcess(t, r); got != healthpb.HealthCheckResponse_NOT_SERVING {
				t.Errorf("%v after the end of Run, want NOT_SERVING", got)
			}
		})
	})
}

// inProcess is the status that the server's health server holds.
func inProcess(t *testing.T, r *rig) healthpb.HealthCheckResponse_ServingStatus {
	t.Helper()
	got, err := r.Health().Check(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return got.GetStatus()
}

// within is the test's context, for so long.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// dependencies are what a process needs, each up until it is not.
type dependencies map[string]*dependency

type dependency struct {
	down  atomic.Bool
	asked atomic.Int64
}

func newDependencies(names ...string) dependencies {
	ds := dependencies{}
	for _, name := range names {
		ds[name] = &dependency{}
	}
	return ds
}

// checks returns the checks of all.
func (ds dependencies) checks() *health.Checks {
	h := health.New(&health.Options{Logger: slog.New(slog.DiscardHandler)})
	for name, d := range ds {
		h.Add(health.Check{Name: name, Check: func(context.Context) error {
			d.asked.Add(1)
			if d.down.Load() {
				return errors.New("down")
			}
			return nil
		}})
	}
	return h
}

// statuses returns what the health service answers for the server and its services: "" and two names.
func statuses(t *testing.T, r *rig) string {
	t.Helper()
	client := healthpb.NewHealthClient(r.conn)
	var all []string
	list, err := client.List(t.Context(), &healthpb.HealthListRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "grpc.testing.TestService", "by.Hand"} {
		res, err := client.Check(t.Context(), &healthpb.HealthCheckRequest{Service: name})
		if err != nil {
			t.Fatal(err)
		}
		if got := list.GetStatuses()[name].GetStatus(); got != res.GetStatus() {
			t.Errorf("%q: listed as %v, is %v", name, got, res.GetStatus())
		}
		all = append(all, strings.ReplaceAll(res.GetStatus().String(), "SERVING", "up"))
	}
	return strings.ReplaceAll(strings.Join(all, " "), "NOT_up", "down")
}

func TestHealthChecks(t *testing.T) {
	t.Run("SayWhatServes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ds := newDependencies("database", "broker")
			checks := ds.checks()
			r := newRig(&grpcserver.Options{Health: checks, ServiceChecks: map[string][]string{"by.Hand": {"broker"}}})
			r.RegisterService(&grpc.ServiceDesc{ServiceName: "by.Hand", HandlerType: (*any)(nil)}, nil)
			r.serve(t, &service{})
			expect := func(database, broker bool, want string) {
				t.Helper()
				ds["database"].down.Store(!database)
				ds["broker"].down.Store(!broker)
				time.Sleep(2 * time.Second) // the last round is old then
				if got := statuses(t, r); got != want {
					t.Errorf("database %t, broker %t: %s, want %s", database, broker, got, want)
				}
			}
			expect(true, true, "up up up")
			expect(false, true, "down down up")
			expect(true, false, "down down down")
			expect(true, true, "up up up")
			r.Health().SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
			expect(true, true, "up up up")
			checks.Drain()
			expect(true, true, "down down down")
		})
	})
	t.Run("AreAskedOnlyWhileSomebodyAsks", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ds := newDependencies("database")
			r := newRig(&grpcserver.Options{Health: ds.checks()}).serve(t, &service{})
			asked := func(want int64) {
				t.Helper()
				synctest.Wait()
				if got := ds["database"].asked.Swap(0); got != want {
					t.Errorf("asked %d times, want %d", got, want)
				}
			}
			time.Sleep(time.Hour)
			asked(0)
			if got := inProcess(t, r); got != healthpb.HealthCheckResponse_NOT_SERVING {
				t.Errorf("%v before anybody has asked, want NOT_SERVING", got)
			}
			var watches []grpc.ServerStreamingClient[healthpb.HealthCheckResponse]
			expect := func(want healthpb.HealthCheckResponse_ServingStatus) {
				t.Helper()
				for _, watch := range watches {
					if got, err := watch.Recv(); err != nil || got.GetStatus() != want {
						t.Fatalf("watch: %v, %v, want %v", got.GetStatus(), err, want)
					}
				}
			}
			ctx, cancel := context.WithCancel(within(t, 24*time.Hour))
			for range 10 {
				watch, err := healthpb.NewHealthClient(r.conn).Watch(ctx, &healthpb.HealthCheckRequest{})
				if err != nil {
					t.Fatal(err)
				}
				watches = append(watches, watch)
			}
			expect(healthpb.HealthCheckResponse_SERVING)
			asked(1)
			time.Sleep(time.Minute)
			asked(12)
			ds["database"].down.Store(true)
			began := time.Now()
			expect(healthpb.HealthCheckResponse_NOT_SERVING)
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("they know after %v, want 5s", took)
			}
			ds["database"].down.Store(false)
			expect(healthpb.HealthCheckResponse_SERVING)
			cancel()
			asked(2)
			time.Sleep(time.Hour)
			asked(0)
		})
	})
	t.Run("ThatHangHoldUpNobodyBeyondHisTime", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			checks := health.New(&health.Options{Logger: slog.New(slog.DiscardHandler)},
				health.Check{Name: "hung", Check: func(context.Context) error { <-release; return nil }})
			r := newRig(&grpcserver.Options{Health: checks}).serve(t, &service{})
			defer close(release)
			for _, c := range []struct {
				time time.Duration
				want string
			}{{time.Second, "DeadlineExceeded"}, {time.Minute, "NOT_SERVING"}} {
				ctx, cancel := context.WithTimeout(t.Context(), c.time)
				res, err := healthpb.NewHealthClient(r.conn).Check(ctx, &healthpb.HealthCheckRequest{})
				cancel()
				if got := fmt.Sprint(res.GetStatus(), err); !strings.Contains(got, c.want) {
					t.Errorf("within %v: %s, want %s", c.time, got, c.want)
				}
			}
			watch, err := healthpb.NewHealthClient(r.conn).Watch(within(t, time.Hour), &healthpb.HealthCheckRequest{})
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(6 * time.Second) // the poll waits for the check, too
			began := time.Now()
			if err := r.stop(); err != nil || time.Since(began) > 100*time.Millisecond {
				t.Errorf("Run = %v after %v: the check held it up", err, time.Since(began))
			}
			_, _ = watch.Recv()
		})
	})
	t.Run("ThatNobodyHasAreAnError", func(t *testing.T) {
		checks := newDependencies("database").checks()
		for want, o := range map[string]*grpcserver.Options{
			`"by.Hand"`:      {Health: checks, ServiceChecks: map[string][]string{"by.Hand": {"database"}}},
			`"broker"`:       {Health: checks, ServiceChecks: map[string][]string{"grpc.testing.TestService": {"broker"}}},
			"without Health": {ServiceChecks: map[string][]string{"grpc.testing.TestService": {"database"}}},
		} {
			base := open()
			o.Unauthenticated, o.Registerer, o.Addr = true, base.Registerer, base.Addr
			s := grpcserver.New(o)
			testpb.RegisterTestServiceServer(s, &service{})
			ctx, cancel := context.WithCancel(t.Context())
			cancel() // it would be a clean end
			if err := s.Run(ctx); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("Run = %v, want an error with %s", err, want)
			}
		}
	})
}
