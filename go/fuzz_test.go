// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby_test

import (
	"errors"
	"testing"

	slabby "github.com/slabby/slabby/go"
)

// FuzzOptionText: any two texts are an option that makes a pool which works, or are refused with the reason.
func FuzzOptionText(f *testing.F) {
	for _, words := range [][2]string{
		{"secure", "on"}, {"circuit_breaker_timeout", "1.5s"}, {"degrade_at", "80%"}, {"alignment", "4KiB"},
		{"name", "orders"}, {"nam", ""}, {"reuse_delay", "-1"}, {"audit", "99999999999999999999"},
		{"guard_sample_rate", "off"}, {"name", "with a NUL\x00inside"}, {"shards", "1\xff"},
	} {
		f.Add(words[0], words[1])
	}
	f.Fuzz(func(t *testing.T, name, text string) {
		pool, err := slabby.New(64, 4, slabby.WithText(name, text))
		if err != nil {
			var refused *slabby.Error
			if !errors.As(err, &refused) || refused.Status >= 0 || refused.Text == "" {
				t.Fatalf("%q = %q: %v gives no reason", name, text, err)
			}
			return
		}
		mustRelease(t, mustAllocate(t, pool))
		if err := pool.Close(); err != nil {
			t.Fatalf("%q = %q: Close: %v", name, text, err)
		}
	})
}
