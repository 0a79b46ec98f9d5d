// SPDX-License-Identifier: GPL-3.0-or-later

//go:build linux && amd64 && !slabby_noseq && !slabby_nopin

package sequence

import "testing"

// Each sequence ends where its commit does, and the kernel finds the signature where it goes on; no two
// share a word of code.
func TestDescriptors(t *testing.T) {
	for n, d := range descriptors {
		if got := string(code(d.restartAt-uintptr(len(signature)), len(signature))); got != signature {
			t.Errorf("sequence %d: %x before the address where it goes on", n, got)
		}
		if inside := d.restartAt - d.start; inside < d.length {
			t.Errorf("sequence %d goes on inside itself: %+v", n, d)
		}
		for m, other := range descriptors[:n] {
			if d.start < other.start+other.length && other.start < d.start+d.length {
				t.Errorf("sequences %d and %d overlap: %+v %+v", m, n, other, d)
			}
		}
	}
}

// This version of Go passes arguments where the assembly expects them: with another one leases serve, at half the
// speed.
func TestRegistersAreGos(t *testing.T) {
	if !Available {
		t.Error("Go's own functions have their arguments elsewhere: see entries_amd64.go")
	}
}
