// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby

import "os"

// Windows has no descriptors to wait on: waits sleep in the core, and watches are refused.
const hasDescriptors = false

func pollable(int, string) (*os.File, error) {
	return nil, &Error{Status: StatusNotSupported}
}
