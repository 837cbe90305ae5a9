// Package mainstay runs a service: it starts what the service is made of in order, and stops it in the reverse order
// when the process is told to end.
//
//	func main() {
//		err := mainstay.Run(context.Background(), nil,
//			admin,                        // first up, last down: probes and metrics outlive the rest
//			mainstay.Once(store.Migrate), // done before anything below it starts
//			relay,
//			subscription,
//			server,                       // last up, first down: no request meets a half-built service
//		)
//		if err != nil {
//			slog.Error("service ended", "error", err)
//			os.Exit(1)
//		}
//	}
//
// Whatever has a method Run(ctx) error is a [Runner]: the servers, subscriptions and relays of the kit, and your own.
// Two optional methods, Ready and Drain, tell Run more; [Run] says when it uses them.
//
// # What it promises
//
//   - Signals are looked at here and nowhere else in the kit, and only while Run runs.
//   - A runner starts only when those before it are ready, and its context ends only when those after it have ended, or
//     have used up their time.
//   - Run returns within [Options].StartTimeout of a runner that never gets ready, and within [Options].Grace of being
//     told to stop, whatever the runners do. The error names every runner that failed or was left behind.
//   - Every goroutine that Run starts has ended when it returns, but for those of runners it names as cut off.
//
// # What it does not
//
//   - It does not restart a runner: one that ends takes the others along, and what supervises the process starts it anew.
//   - It does not recover a panic: a runner's panic ends the process with its stack, as in any other goroutine. Handlers
//     of requests and messages are another matter; the servers and subscriptions recover those.
//   - It cannot kill a goroutine: one that ignores its context is left running until the process exits.
//
// The packages below this one do not need it: each is useful in a program that has a main loop of its own.
package mainstay
