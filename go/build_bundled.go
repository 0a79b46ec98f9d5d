// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo && !slabby_system

package slabby

// The core inside this folder. Its symbols stay hidden, so that a Go library never replaces the
// core that another part of the process has loaded. Traces of its stacks have functions and lines;
// what debuggers know of variables would make up a sixth of each later build of a program.

// #cgo CFLAGS: -std=gnu11 -O2 -g1 -fvisibility=hidden -DSLABBY_HIDDEN=1
// #cgo !windows LDFLAGS: -pthread -ldl
import "C"
