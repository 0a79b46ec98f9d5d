// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby

// #include "shim.h"
import "C"

import (
	"errors"
	"os"
	"strconv"
	"unsafe"
)

// Error is the type of every error of this package, except the errors of a context. It matches the
// sentinel of its status by errors.Is. On hot calls it is the sentinel itself; on other calls it
// carries the details.
type Error struct {
	// Status is what the core answered.
	Status Status
	// Option is the option concerned, or 0.
	Option OptionID
	// Value was given; Minimum and Maximum limit it. Both limits are 0 where no range applies.
	Value, Minimum, Maximum int64
	// Text is one sentence that names the value, the limit and what to do.
	Text string

	cause error
}

// Error returns the status' name and the text.
func (e *Error) Error() string {
	return "slabby: " + e.Status.String() + ": " + e.Text
}

// Is reports whether target is the sentinel of the same status; a timeout is os.ErrDeadlineExceeded too.
func (e *Error) Is(target error) bool {
	if target == os.ErrDeadlineExceeded {
		return e.Timeout()
	}
	other, ok := target.(*Error)
	return ok && e.Status < 0 && int(-e.Status) < len(sentinels) && other == &sentinels[-e.Status]
}

// Timeout reports whether the wait for a slab ran out, as net.Error asks.
func (e *Error) Timeout() bool {
	return e.Status == StatusTimeout
}

// Temporary is Timeout, as of os.ErrDeadlineExceeded: with it an Error is a net.Error.
func (e *Error) Temporary() bool {
	return e.Timeout()
}

// Unwrap returns the error behind this one, or nil.
func (e *Error) Unwrap() error {
	return e.cause
}

// String returns the name of the status, such as "OutOfMemory".
func (s Status) String() string {
	if s <= 0 && int(-s) < len(statusNames) {
		return statusNames[-s]
	}
	return "Status(" + strconv.Itoa(int(s)) + ")"
}

// StatusOf returns the status that an error carries: StatusOK for nil, and false for an error that
// is not of this package.
func StatusOf(err error) (Status, bool) {
	if err == nil {
		return StatusOK, true
	}
	var known *Error
	if errors.As(err, &known) {
		return known.Status, true
	}
	return 0, false
}

// statusError turns the answer of a hot call into an error without allocating.
func statusError(status C.slabby_status) error {
	if status == 0 {
		return nil
	}
	if status < 0 && int(-status) < len(sentinels) {
		return &sentinels[-status]
	}
	return &Error{Status: Status(status), Text: "a status that this version does not know"}
}

func newRawError() C.slabby_error {
	return C.slabby_error{struct_size: C.uint32_t(unsafe.Sizeof(C.slabby_error{}))}
}

// detailedError turns the answer of a cold call into an error with the core's text.
func detailedError(status C.slabby_status, raw *C.slabby_error) error {
	if status == 0 {
		return nil
	}
	err := &Error{
		Status:  Status(status),
		Option:  OptionID(raw.option),
		Value:   int64(raw.value),
		Minimum: int64(raw.minimum),
		Maximum: int64(raw.maximum),
		Text:    C.GoString(&raw.text[0]),
	}
	if err.Text == "" {
		err.Text = C.GoString(C.slabby_status_message(status))
	}
	return err
}

// of is the error of a call that is not hot; it names the call if there is no pool.
func (p *Slabby) of(call string, err error) error {
	if err != nil && p.c() == nil {
		return noPool(call)
	}
	return err
}

// noPool is the error of a call on a nil or zero pool.
func noPool(call string) error {
	return &Error{Status: StatusInvalidArgument, Text: call + " of a nil or zero pool; make one with New or Adopt"}
}
