//go:build unix

package main

import (
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// asUser returns how to start a process in a group of its own, so that an interrupt at the terminal is the trial's to
// handle, and as somebody else unless uid is zero.
func asUser(uid, gid int) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	if uid != 0 {
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	return attr
}

// unprivileged returns a user for PostgreSQL, which refuses to run as root, and gives dir to it. It is zero where this
// process is not root's.
func unprivileged(dir string) (uid, gid int, err error) {
	if os.Getuid() != 0 {
		return 0, 0, nil
	}
	u, err := user.Lookup("nobody")
	if err != nil {
		return 0, 0, err
	}
	if uid, err = strconv.Atoi(u.Uid); err != nil {
		return 0, 0, err
	}
	if gid, err = strconv.Atoi(u.Gid); err != nil {
		return 0, 0, err
	}
	return uid, gid, os.Chown(dir, uid, gid)
}

// How a process is made to stand still, and to go on.
const (
	stopSignal     = syscall.SIGSTOP
	continueSignal = syscall.SIGCONT
)

func stopProcess(pid int) error     { return syscall.Kill(pid, stopSignal) }
func continueProcess(pid int) error { return syscall.Kill(pid, continueSignal) }
func endProcess(pid int) error      { return syscall.Kill(pid, syscall.SIGTERM) }
