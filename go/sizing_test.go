// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	slabby "github.com/slabby/slabby/go"
)

// Erlang's published tables: 10 servers carry 4.46 erlangs at a loss of 1 %, 100 carry 84.1.
func TestSuggestCapacityFollowsErlang(t *testing.T) {
	for rate, want := range map[float64]int{4.4: 10, 4.5: 11, 84.0: 100, 84.2: 101} {
		got, err := slabby.SuggestCapacity(rate, time.Second, time.Second, 0.01)
		if got != want || err != nil {
			t.Errorf("%g per second: %d, %v; want %d", rate, got, err, want)
		}
	}
	stalls, err := slabby.SuggestCapacity(84, time.Second, 3*time.Second, 0.01)
	if stalls <= 100 || err != nil {
		t.Errorf("stalls of three seconds: %d, %v; want more than 100", stalls, err)
	}
}

func TestSuggestSlabSizeHoldsTheLargest(t *testing.T) {
	for _, c := range []struct {
		average, maximum, alignment, want int
		rate                              float64
	}{{1000, 1500, 64, 1536, 1e3}, {10, 20, 8, 24, 1e3}, {10, 20, 8, 64, 2e6}} {
		got, err := slabby.SuggestSlabSize(c.average, c.maximum, c.rate, c.alignment)
		if got != c.want || err != nil {
			t.Errorf("%+v: %d, %v", c, got, err)
		}
	}
}

func TestSizingRefusesNonsenseInWords(t *testing.T) {
	refuse := func(what string, err, want error, word string) {
		t.Helper()
		if !errors.Is(err, want) || !strings.Contains(err.Error(), word) {
			t.Errorf("%s: %v, want %v with %q", what, err, want, word)
		}
	}
	_, err := slabby.SuggestCapacity(math.NaN(), time.Second, time.Second, 0.01)
	refuse("a rate of NaN", err, slabby.ErrInvalidArgument, "NaN per second")
	_, err = slabby.SuggestCapacity(1, -time.Second, time.Second, 0.01)
	refuse("a negative hold", err, slabby.ErrInvalidArgument, "mean hold -1s")
	_, err = slabby.SuggestCapacity(1, time.Second, time.Second, 1)
	refuse("certain exhaustion", err, slabby.ErrInvalidArgument, "probability 1")
	_, err = slabby.SuggestCapacity(1e12, time.Second, time.Second, 0.01)
	refuse("too much", err, slabby.ErrCapacityExceeded, "more slabs than a pool")
	_, err = slabby.SuggestSlabSize(-1, 100, 1, 64)
	refuse("a negative size", err, slabby.ErrInvalidArgument, "average -1")
	_, err = slabby.SuggestSlabSize(200, 100, 1, 64)
	refuse("an average above the maximum", err, slabby.ErrInvalidArgument, "average 200")
}
