// SPDX-License-Identifier: GPL-3.0-or-later

// The Go runner of the conformance programs: reads programs from standard input, prints their traces
// (LANGUAGE.md). Built with -buildmode=c-shared it is the Go binding of a process that others share
// (export.go).
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strings"
)

// Dropped pools keep their place in the core until the collector has seen them.
const programsPerCollection = 256

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "runner:", err)
		os.Exit(2)
	}
}

func run() (err error) {
	defer func() {
		if fault, ok := recover().(malformed); ok {
			err = fault
		}
	}()
	input := bufio.NewScanner(os.Stdin)
	input.Buffer(nil, 1<<20)
	output := bufio.NewWriterSize(os.Stdout, 1<<16)
	m := newMachine()
	for programs := 0; input.Scan(); {
		words := split(input.Text())
		switch {
		case len(words) == 0:
		case words[0] == "program":
			m.cleanUp()
			if programs++; programs%programsPerCollection == 0 {
				runtime.GC()
			}
			fmt.Fprintf(output, "{\"program\":%s}\n", words[1])
		default:
			fmt.Fprintln(output, m.execute(words))
		}
	}
	m.cleanUp()
	if err := output.Flush(); err != nil {
		return err
	}
	return input.Err()
}

// split gives the words of a line, none for a comment, without the name of a binding.
func split(line string) []string {
	words := strings.Fields(line)
	if len(words) > 0 && words[0][0] == '#' {
		return nil
	}
	if len(words) > 0 && words[0][0] == '@' {
		return words[1:]
	}
	return words
}
