// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby

// #include <stdlib.h>
// #include "shim.h"
import "C"

import (
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unsafe"
)

// AllocatorOption is one setting of a pool, given to New. Bad values are refused there, with the
// limits. Where an option is given twice the later one counts.
type AllocatorOption func(*config)

type config struct {
	settings []setting
	logger   *slog.Logger
	// WithHeapBallast.
	ballast bool
	// An error that was found before the core could be asked.
	refused error
}

type setting func(options *C.slabby_options, raw *C.slabby_error) C.slabby_status

func (c *config) add(set setting) {
	c.settings = append(c.settings, set)
}

func numberOption(option OptionID, value int64) AllocatorOption {
	return func(c *config) {
		c.add(func(options *C.slabby_options, raw *C.slabby_error) C.slabby_status {
			return C.slabby_options_set(options, C.int32_t(option), C.int64_t(value), raw)
		})
	}
}

func textOption(name, text string) AllocatorOption {
	return func(c *config) {
		c.refuseNUL(name)
		c.refuseNUL(text)
		c.add(func(options *C.slabby_options, raw *C.slabby_error) C.slabby_status {
			rawName, rawText := C.CString(name), C.CString(text)
			defer C.free(unsafe.Pointer(rawName))
			defer C.free(unsafe.Pointer(rawText))
			return C.slabby_options_set_text(options, rawName, rawText, raw)
		})
	}
}

// refuseNUL refuses a text with a NUL, because C would see a shorter text than the caller gave.
func (c *config) refuseNUL(text string) {
	if err := errorOfNUL(text); err != nil && c.refused == nil {
		c.refused = err
	}
}

func errorOfNUL(texts ...string) error {
	for _, text := range texts {
		if at := strings.IndexByte(text, 0); at >= 0 {
			return &Error{Status: StatusInvalidOption, Value: int64(at),
				Text: fmt.Sprintf("a NUL byte at offset %d of an option's text; remove it", at)}
		}
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
		c.refuseNUL(name)
		c.add(func(options *C.slabby_options, raw *C.slabby_error) C.slabby_status {
			rawName := C.CString(name)
			defer C.free(unsafe.Pointer(rawName))
			return C.slabby_options_preset(options, rawName, raw)
		})
	}
}

// WithCircuitBreaker opens the breaker after `threshold` failures in a row (0: never), for
// `timeout`; then it lets probes through (WithCircuitBreakerProbes). Allocations it refuses get
// ErrCircuitBreakerOpen at once.
func WithCircuitBreaker(threshold int, timeout time.Duration) AllocatorOption {
	setThreshold := numberOption(OptionCircuitBreakerThreshold, int64(threshold))
	setTimeout := numberOption(OptionCircuitBreakerTimeout, int64(timeout))
	return func(c *config) {
		setThreshold(c)
		setTimeout(c)
	}
}

// WithHeapBallast makes the garbage collector run about as seldom as if the slabs lay on Go's heap: the
// pool keeps an untouched slice as large as its capacity, at most 1 TiB, until Close. It takes address space, and a
// thousandth of its size for the runtime's tables; but where the runtime has used that address space
// before, as after another ballast, it may clear it, and then the slice takes memory as other slices do.
// Slabs lie outside the heap, so without it a program whose memory is mostly slabs has a small heap, and
// collects it often. Not together with a memory limit (GOMEMLIMIT), which counts the slice. New refuses a
// ballast above that limit, or one that the system does not grant, with ErrNoSystemMemory.
func WithHeapBallast() AllocatorOption {
	return func(c *config) { c.ballast = true }
}

// WithLogger hands the logger every event of the pool as it happens, whatever language causes it: opening
// and closing, exhaustion, a breaker that opens, corruption, leaks, changed options. A refused call of
// New is logged too, and a pool that is lost with live slabs. One goroutine for all pools waits for
// events, and blocks no thread; it calls the handler, which may use pools and should not block. nil logs
// nothing. Adopt takes it for pools of other languages.
func WithLogger(logger *slog.Logger) AllocatorOption {
	return func(c *config) { c.logger = logger }
}

// build makes the core's options; the caller destroys them.
func (c *config) build() (*C.slabby_options, error) {
	if c.refused != nil {
		return nil, c.refused
	}
	var options *C.slabby_options
	if status := C.slabby_options_create(&options); status != 0 {
		return nil, statusError(status)
	}
	for _, set := range c.settings {
		raw := newRawError()
		if err := detailedError(set(options, &raw), &raw); err != nil {
			C.slabby_options_destroy(options)
			return nil, err
		}
	}
	return options, nil
}
