// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo && unix

package slabby

import (
	"os"
	"syscall"
)

const hasDescriptors = true

// pollable is a second descriptor of a notifier, as a file for which the runtime waits.
func pollable(descriptor int, name string) (*os.File, error) {
	syscall.ForkLock.RLock()
	second, err := syscall.Dup(descriptor)
	if err == nil {
		syscall.CloseOnExec(second)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, &Error{Status: StatusNoSystemMemory, cause: err,
			Text: "the system refused a descriptor to wait on (" + err.Error() + "); close some first"}
	}
	return os.NewFile(uintptr(second), name), nil
}
