// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby_test

import (
	"errors"
	"strings"
	"testing"

	slabby "github.com/slabby/slabby/go"
)

// memoryBound are the options whose largest value the system may refuse: locked pages, address space.
var memoryBound = map[slabby.OptionID]bool{
	slabby.OptionAudit:       true,
	slabby.OptionLockMemory:  true,
	slabby.OptionMaxCapacity: true,
}

// acceptsOption makes a pool with one option and compares what the pool then has with what was asked for.
func acceptsOption(t *testing.T, option contractOption, value int64) {
	t.Helper()
	pool, err := slabby.New(64, 1, slabby.WithOption(option.id, value))
	if errors.Is(err, slabby.ErrNoSystemMemory) && value == option.maximum && memoryBound[option.id] {
		t.Logf("%s = %d: %v", option.name, value, err)
		return
	}
	if err != nil {
		t.Errorf("%s = %d: %v", option.name, value, err)
		return
	}
	got, err := pool.GetOption(option.id)
	// auto is resolved when the pool is made.
	resolved := option.id == slabby.OptionCPUCacheBackend && value == int64(slabby.CPUCacheBackendAuto)
	if err != nil || got != value && !resolved {
		t.Errorf("%s = %d: the pool has %d, %v", option.name, value, got, err)
	}
	if err := pool.Close(); err != nil {
		t.Error(err)
	}
}

// Each option of the contract takes its default and both of its limits.
func TestDefaultsAndLimitsAreAccepted(t *testing.T) {
	for _, option := range contractOptions {
		acceptsOption(t, option, option.minimum)
		acceptsOption(t, option, option.maximum)
		if option.byDefault >= 0 {
			acceptsOption(t, option, option.byDefault)
		}
	}
}

// One beyond a limit is refused by New, and the error names the option, the value and both limits.
func TestBeyondALimitIsRefused(t *testing.T) {
	for _, option := range contractOptions {
		values := []int64{option.minimum - 1, option.maximum + 1}
		if option.powerOfTwo {
			values = append(values, option.maximum-1)
		}
		for _, value := range values {
			_, err := slabby.New(64, 1, slabby.WithOption(option.id, value))
			var detail *slabby.Error
			if !errors.Is(err, slabby.ErrInvalidOption) || !errors.As(err, &detail) {
				t.Errorf("%s = %d: %v, want ErrInvalidOption", option.name, value, err)
				continue
			}
			if detail.Option != option.id || detail.Value != value || detail.Minimum != option.minimum ||
				detail.Maximum != option.maximum {
				t.Errorf("%s = %d: the error has %+v", option.name, value, detail)
			}
			// Value and limits are in the option's unit there, durations as Go writes them.
			for _, part := range []string{option.name, "cannot be", " to "} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%s = %d: no %q in %q", option.name, value, part, err)
				}
			}
		}
	}
}
