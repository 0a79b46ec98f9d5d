// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	slabby "github.com/slabby/slabby/go"
)

// Guards: a refused call says which value was refused, and what to give.
func TestMessagesNameWhatWasRefused(t *testing.T) {
	pool := newPool(t, 64, 10, slabby.WithMaxCapacity(1000))
	var zero slabby.Slabby
	errorOf := func(_ any, err error) error { return err }
	audited := newPool(t, 64, 10, slabby.WithAudit(16))
	readAuditFrom := func(p *slabby.Slabby, at uint64) error { _, _, _, err := p.ReadAudit(at); return err }
	readEventsFrom := func(p *slabby.Slabby, at uint64) error { _, _, _, err := p.ReadEvents(at); return err }
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
		{readEventsFrom(pool, 99), slabby.ErrInvalidArgument, []string{"99", "beyond the newest", "pass 0"}},
		{readAuditFrom(audited, 99), slabby.ErrInvalidArgument, []string{"99", "beyond the newest", "pass 0"}},
		{readAuditFrom(pool, 0), slabby.ErrNotSupported, []string{"WithAudit"}},
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

// Guards: a panic names its status once.
func TestPanicsNameTheirStatusOnce(t *testing.T) {
	pool := newPool(t, 64, 1)
	ref := mustAllocate(t, pool)
	if text := panicOf(func() { pool.MustAllocate() }); strings.Count(text, "OutOfMemory:") != 1 {
		t.Errorf("MustAllocate says %q", text)
	}
	mustRelease(t, ref)
	if text := panicOf(func() { ref.GetBytes() }); strings.Count(text, "UseAfterFree:") != 1 {
		t.Errorf("GetBytes says %q", text)
	}
}

func panicOf(do func()) (text string) {
	defer func() { text = fmt.Sprint(recover()) }()
	do()
	return ""
}

// Guards: a pool is printed as a line, not as its fields, which other goroutines change.
func TestPoolsArePrintedForPeople(t *testing.T) {
	pool := newPool(t, 4096, 256, slabby.WithName("printed"), slabby.WithHeapBallast())
	want := "printed (256 slabs of 4096 bytes, 0 used, open)"
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(format, pool); text != want {
			t.Errorf("%s: %.200q, want %q", format, text, want)
		}
	}
	if text := fmt.Sprint((*slabby.Slabby)(nil)); text != "no pool" {
		t.Errorf("nil: %q", text)
	}
}
