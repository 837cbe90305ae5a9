//go:build !unix

package main

import (
	"errors"
	"syscall"
)

func asUser(int, int) *syscall.SysProcAttr { return nil }

func unprivileged(string) (uid, gid int, err error) { return 0, 0, nil }

// No process is made to stand still here.
const (
	stopSignal     = syscall.Signal(-1)
	continueSignal = syscall.Signal(-1)
)

func stopProcess(int) error     { return errors.ErrUnsupported }
func continueProcess(int) error { return errors.ErrUnsupported }
func endProcess(int) error      { return errors.ErrUnsupported }
