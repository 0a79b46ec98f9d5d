// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

type file struct {
	path   string
	err    error
	digest [32]byte
}

// collect finds the regular files below the paths, sorted by the bytes of their names, each once.
// Symbolic links are followed only where they are a path themselves. Directories that cannot be read
// are reported and counted; a path that does not exist is an error.
func collect(paths []string) (files []*file, unreadableDirectories int, err error) {
	var names []string
	var refused []error
	for _, path := range paths {
		info, err := os.Stat(path)
		switch {
		case err != nil:
			refused = append(refused, err)
		case info.IsDir():
			unreadableDirectories += below(path, &names)
		case info.Mode().IsRegular():
			names = append(names, path)
		default:
			refused = append(refused, fmt.Errorf("%s: neither a file nor a directory", path))
		}
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		files = append(files, &file{path: name})
	}
	return files, unreadableDirectories, errors.Join(refused...)
}

// below adds the regular files under a directory and counts the directories that cannot be read.
func below(directory string, names *[]string) (unreadable int) {
	entries, err := os.ReadDir(directory)
	if err != nil {
		fmt.Fprintf(os.Stderr, "unreadable: %v\n", err)
		unreadable++
	}
	for _, entry := range entries {
		name := strings.TrimRight(directory, "/") + string(filepath.Separator) + entry.Name()
		if entry.IsDir() {
			unreadable += below(name, names)
		} else if entry.Type().IsRegular() {
			*names = append(*names, name)
		}
	}
	return unreadable
}
