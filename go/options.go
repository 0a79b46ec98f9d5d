// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby

// #include <stdlib.h>
// #include "shim.h"
import "C"

import (
	"log/slog"
	"strings"
	"time"
	"unsafe"
)

// AllocatorOption is one setting of a pool, given to New. Bad values are refused there, with the limits.
// Where an option is given twice the later one counts.
type AllocatorOption func(*config)

type config struct {
	settings []setting
	logger   *slog.Logger
}

type setting func(options *C.slabby_options, raw *C.slabby_error) (C.slabby_status, error)

func numberOption(option OptionID, value int64) AllocatorOption {
	return func(c *config) {
		c.settings = append(c.settings, func(o *C.slabby_options, raw *C.slabby_error) (C.slabby_status, error) {
			return C.slabby_options_set(o, C.int32_t(option), C.int64_t(value), raw), nil
		})
	}
}

func textOption(name, text string) AllocatorOption {
	return func(c *config) {
		c.settings = append(c.settings, func(o *C.slabby_options, raw *C.slabby_error) (C.slabby_status, error) {
			if err := refuseNUL(name); err != nil {
				return 0, err
			}
			if err := refuseNUL(text); err != nil {
				return 0, err
			}
			rawName, rawText := C.CString(name), C.CString(text)
			defer C.free(unsafe.Pointer(rawName))
			defer C.free(unsafe.Pointer(rawText))
			return C.slabby_options_set_text(o, rawName, rawText, raw), nil
		})
	}
}

// refuseNUL keeps C from seeing a shorter text than the caller gave.
func refuseNUL(text string) error {
	if at := strings.IndexByte(text, 0); at >= 0 {
		return &Error{Status: StatusInvalidOption, Value: int64(at),
			Text: "a NUL byte stands inside an option's text; remove it"}
	}
	return nil
}

func flagValue(enabled bool) int64 {
	if enabled {
		return 1
	}
	return 0
}

// WithOption sets any option by number, in the unit of the option: flags 0 or 1, counts, bytes,
// nanoseconds, percent, or a word's number.
func WithOption(option OptionID, value int64) AllocatorOption {
	return numberOption(option, value)
}

// WithText sets any option by name and text: "on", "4KiB", "30s", "80%", or a word.
func WithText(name, text string) AllocatorOption {
	return textOption(name, text)
}

// WithPreset sets the options of a use case; options after it override.
func WithPreset(name string) AllocatorOption {
	return func(c *config) {
		c.settings = append(c.settings, func(o *C.slabby_options, raw *C.slabby_error) (C.slabby_status, error) {
			if err := refuseNUL(name); err != nil {
				return 0, err
			}
			rawName := C.CString(name)
			defer C.free(unsafe.Pointer(rawName))
			return C.slabby_options_preset(o, rawName, raw), nil
		})
	}
}

// WithCircuitBreaker opens the breaker after `threshold` failures in a row, for `timeout`. Not available
// yet: a threshold above 0 makes New answer ErrNotSupported.
func WithCircuitBreaker(threshold int, timeout time.Duration) AllocatorOption {
	setThreshold := numberOption(OptionCircuitBreakerThreshold, int64(threshold))
	setTimeout := numberOption(OptionCircuitBreakerTimeout, int64(timeout))
	return func(c *config) {
		setThreshold(c)
		setTimeout(c)
	}
}

// WithLogger tells the logger what this package sees of the pool: its making (debug), a refused making
// and a close or a loss with live slabs (warning), and every memory corruption found by a release
// (error). nil tells nobody. What other languages do to the same pool is not told.
func WithLogger(logger *slog.Logger) AllocatorOption {
	return func(c *config) { c.logger = logger }
}

// build makes the core's options; the caller destroys them.
func (c *config) build() (*C.slabby_options, error) {
	var options *C.slabby_options
	if status := C.slabby_options_create(&options); status != 0 {
		return nil, statusError(status)
	}
	for _, set := range c.settings {
		raw := newRawError()
		status, err := set(options, &raw)
		if err == nil {
			err = detailedError(status, &raw)
		}
		if err != nil {
			C.slabby_options_destroy(options)
			return nil, err
		}
	}
	return options, nil
}
