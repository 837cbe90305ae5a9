//go:build unix

package bench

import (
	"syscall"
	"time"
)

// CPUTime returns the processor time that this process has used, for itself and in the kernel, on all its threads: the
// garbage collector's too. Unlike the clock it stands still while the machine is busy with others. Where the system does
// not tell it (Windows), it is the clock.
func CPUTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic("bench: getrusage: " + err.Error()) // it has no reason to refuse a process its own figures
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
