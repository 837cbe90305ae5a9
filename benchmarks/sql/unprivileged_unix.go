//go:build unix

package main

import (
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// unprivileged returns how to start a process as somebody else where this one is root, for whom the server refuses to
// run, and gives dir to that user.
func unprivileged(dir string) (*syscall.SysProcAttr, error) {
	// A group of its own: an interrupt at the terminal is for this process to handle.
	attr := &syscall.SysProcAttr{Setpgid: true}
	if os.Getuid() != 0 {
		return attr, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		if u, err = user.Lookup("nobody"); err != nil {
			return nil, err
		}
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return attr, os.Chown(dir, int(uid), int(gid))
}
