// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo && slabby_system

package slabby

// The installed libslabby, which other languages in the process may share.

/*
#cgo CFLAGS: -std=gnu11 -O2 -DSLABBY_SYSTEM=1
#cgo LDFLAGS: -ldl
#cgo pkg-config: slabby
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <slabby/slabby.h>

// The file of the shared library that the loader found, or null where the core is part of the program.
static const char *slabby_go_library(void) {
	Dl_info info;
	if (dladdr((void *)slabby_version, &info) == 0 || info.dli_fname == NULL)
		return NULL;
	const char *slash = strrchr(info.dli_fname, '/');
	const char *file = slash == NULL ? info.dli_fname : slash + 1;
	return strncmp(file, "libslabby.so", 12) == 0 ? info.dli_fname : NULL;
}

static int slabby_go_lacks(const char *path, const char *name) {
	void *library = dlopen(path, RTLD_LAZY | RTLD_NOLOAD);
	int lacks = library != NULL && dlsym(library, name) == NULL;
	if (library != NULL)
		(void)dlclose(library);
	return lacks;
}
*/
import "C"

import (
	"fmt"
	"unsafe"
)

// If the library is older than the one that the program was built with, the program ends here, by a
// panic that says so. Otherwise the loader would end it at the first call of a missing function.
func init() {
	path := C.slabby_go_library()
	if path == nil {
		return
	}
	for _, name := range coreFunctions {
		text := C.CString(name)
		lacks := C.slabby_go_lacks(path, text) != 0
		C.free(unsafe.Pointer(text))
		if lacks {
			panic(&Error{Status: StatusAbiMismatch, Text: fmt.Sprintf(
				"%s is older than the library that this program was built with: it has no %s; "+
					"remove it from LD_LIBRARY_PATH, or install one version of both", C.GoString(path), name)})
		}
	}
}
