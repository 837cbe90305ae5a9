//go:build !unix

package main

import "syscall"

// unprivileged has nothing to change: the server drops its own rights where it must.
func unprivileged(string) (*syscall.SysProcAttr, error) { return nil, nil }
