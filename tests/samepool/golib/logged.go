// SPDX-License-Identifier: GPL-3.0-or-later

package main

// #include "exchange.h"
import "C"

import (
	"bytes"
	"log/slog"
	"sync"
	"unsafe"

	slabby "github.com/slabby/slabby/go"
)

// logged is what slog wrote of the pools of golib_join_logged.
var logged struct {
	sync.Mutex
	text bytes.Buffer
}

type logWriter struct{}

func (logWriter) Write(line []byte) (int, error) {
	logged.Lock()
	defer logged.Unlock()
	return logged.text.Write(line)
}

// golib_join_logged is golib_join with a logger.
//
//export golib_join_logged
func golib_join_logged(address, instanceID uint64) int32 {
	return join(address, instanceID, slabby.WithLogger(slog.New(slog.NewJSONHandler(logWriter{}, nil))))
}

// golib_log copies the end of the log that fits: how many bytes.
//
//export golib_log
func golib_log(text *C.char, capacity int32) int32 {
	logged.Lock()
	defer logged.Unlock()
	all := logged.text.Bytes()
	return int32(copy(unsafe.Slice((*byte)(unsafe.Pointer(text)), capacity), all[max(0, len(all)-int(capacity)):]))
}
