// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby_test

import (
	"errors"
	"testing"

	slabby "github.com/slabby/slabby/go"
)

// What does not work yet is refused by New with the option's name, never ignored.
func TestWaitingOptionsAreRefused(t *testing.T) {
	for option, name := range waitingOptions {
		value := int64(1)
		switch option {
		case slabby.OptionHealthInterval:
			value = 5_000_000_000
		}
		_, err := slabby.New(64, 4, slabby.WithOption(option, value))
		var detail *slabby.Error
		if !errors.Is(err, slabby.ErrNotSupported) || !errors.As(err, &detail) ||
			detail.Option != option {
			t.Errorf("%s: %v, want ErrNotSupported that names the option", name, err)
		}
	}
}

// A method over a function of the core works when the contract says so, and else says that it does
// not.
func TestFunctionsAreAsReadyAsTheContractSays(t *testing.T) {
	pool := newPool(t, 64, 4)
	ref := mustAllocate(t, pool)
	for name, call := range map[string]func() error{
		"slabby_get_health":     func() error { _, err := pool.Health(); return err },
		"slabby_health_json":    func() error { _, err := pool.HealthJSON(); return err },
		"slabby_health_tick":    pool.HealthTick,
		"slabby_breaker_force":  func() error { return pool.BreakerForce(slabby.BreakerModeNormal) },
		"slabby_reclaim":        func() error { _, err := pool.Reclaim(); return err },
		"slabby_resize":         func() error { _, err := pool.Resize(2); return err },
		"slabby_stack":          func() error { _, err := ref.Stack(); return err },
		"slabby_options_preset": presetDefault,
	} {
		ready, known := readyFunctions[name]
		if !known {
			t.Errorf("%s is not in the contract", name)
		}
		if err := call(); ready != (err == nil) || !ready && !errors.Is(err, slabby.ErrNotSupported) {
			t.Errorf("%s: %v, but ready is %v", name, err, ready)
		}
	}
	if (pool.HealthCheck() != nil) != readyFunctions["slabby_get_health"] {
		t.Error("HealthCheck and the contract disagree")
	}
	mustRelease(t, ref)
}

func presetDefault() error {
	pool, err := slabby.New(64, 1, slabby.WithPreset("default"))
	if err != nil {
		return err
	}
	return pool.Close()
}
