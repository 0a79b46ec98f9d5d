// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby_test

import (
	"errors"
	"strings"
	"testing"

	slabby "github.com/slabby/slabby/go"
)

// Guards: a refused call says which value was refused, and what to give.
func TestMessagesNameWhatWasRefused(t *testing.T) {
	pool := newPool(t, 64, 10, slabby.WithMaxCapacity(1000))
	var zero slabby.Slabby
	errorOf := func(_ any, err error) error { return err }
	readAudit := func(p *slabby.Slabby) error { _, _, _, err := p.ReadAudit(0); return err }
	for _, c := range []struct {
		err, status error
		says        []string
	}{
		{errorOf(pool.BatchAllocate(5000)), slabby.ErrInvalidBatchSize, []string{"5000", "1 to 10"}},
		{errorOf(pool.BatchAllocate(500)), slabby.ErrInvalidBatchSize, []string{"500", "1 to 10"}},
		{errorOf(pool.Resize(-1)), slabby.ErrInvalidCapacity, []string{"-1", "1 to 1000"}},
		{errorOf(pool.Resize(0)), slabby.ErrInvalidCapacity, []string{"0", "1000"}},
		{pool.BreakerForce(9), slabby.ErrInvalidArgument, []string{"9", "0 (normal) to 3 (metrics_only)"}},
		{errorOf(pool.GetOption(99)), slabby.ErrInvalidOption, []string{"99"}},
		{errorOf(pool.GetOption(slabby.OptionName)), slabby.ErrInvalidArgument, []string{"GetOptionText"}},
		{errorOf(pool.GetOptionText("secur")), slabby.ErrInvalidOption, []string{`"secur"`}},
		{readAudit(pool), slabby.ErrNotSupported, []string{"WithAudit"}},
		{errorOf(zero.MetricsText()), slabby.ErrInvalidArgument, []string{"MetricsText", "New or Adopt"}},
		{errorOf(zero.Resize(5)), slabby.ErrInvalidArgument, []string{"Resize", "New or Adopt"}},
		{errorOf(zero.GetOption(slabby.OptionSecure)), slabby.ErrInvalidArgument, []string{"GetOption", "New or Adopt"}},
		{errorOf(zero.GetOptionText("secure")), slabby.ErrInvalidArgument, []string{"GetOptionText", "New or Adopt"}},
		{zero.SetOption(slabby.OptionSecure, 1), slabby.ErrInvalidArgument, []string{"SetOption", "New or Adopt"}},
		{zero.BreakerForce(slabby.BreakerModeNormal), slabby.ErrInvalidArgument, []string{"BreakerForce", "New or Adopt"}},
	} {
		if !errors.Is(c.err, c.status) {
			t.Errorf("%v, want %v", c.err, c.status)
			continue
		}
		for _, text := range c.says {
			if !strings.Contains(c.err.Error(), text) {
				t.Errorf("%q does not say %q", c.err, text)
			}
		}
	}
}
