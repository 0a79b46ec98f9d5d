// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"
	"time"
)

// A wait that ran out is a timeout to code that asks as for a net.Conn; no other error is.
func TestTimeoutIsOne(t *testing.T) {
	pool, err := New(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	held := pool.MustAllocate()
	defer held.Release()
	_, err = pool.AllocateWithTimeout(time.Millisecond)
	var asked net.Error
	//lint:ignore SA1019 part of net.Error, which an error has to be for that code
	if !errors.As(err, &asked) || !asked.Timeout() || !asked.Temporary() || !errors.Is(err, os.ErrDeadlineExceeded) ||
		!errors.Is(err, ErrTimeout) {
		t.Errorf("%v is no timeout", err)
	}
	_, err = pool.Allocate()
	if errors.As(err, &asked) && asked.Timeout() || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v is a timeout", err)
	}
}

// What the release of a slab found that came too late is told with the reason.
func TestLateSlabIsNotSilent(t *testing.T) {
	if err := gaveBack(context.Canceled, nil); err != context.Canceled {
		t.Error(err)
	}
	err := gaveBack(context.Canceled, ErrMemoryCorruption)
	if !errors.Is(err, context.Canceled) || !errors.Is(err, ErrMemoryCorruption) {
		t.Error(err)
	}
}
