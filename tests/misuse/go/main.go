// SPDX-License-Identifier: GPL-3.0-or-later

// misuse NAME makes the mistake of that name and prints what it was told, as ../c/misuse.h says.
// misuse --list names them.
package main

import (
	"fmt"
	"os"
	"strconv"

	slabby "github.com/slabby/slabby/go"
)

const (
	slabSize = 64
	capacity = 4
)

type mistake struct {
	name string
	make func()
}

// insist ends the program where a sound call was refused.
func insist(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "a sound call was refused:", err)
		os.Exit(3)
	}
}

func sizedPool(slabSize, capacity int, options ...slabby.AllocatorOption) *slabby.Slabby {
	pool, err := slabby.New(slabSize, capacity, append(options, slabby.WithName("misuse"))...)
	insist(err)
	return pool
}

func newPool(options ...slabby.AllocatorOption) *slabby.Slabby {
	return sizedPool(slabSize, capacity, options...)
}

func take(pool *slabby.Slabby) slabby.SlabRef {
	ref, err := pool.Allocate()
	insist(err)
	return ref
}

func report(name string, slab int32, ref uint64, text string) {
	fmt.Printf("answer\t%s\t%d\t%016x\t%s\n", name, slab, ref, text)
}

// answered is what a call about a reference answered, none where it is the zero SlabRef; the text is
// that of Explain.
func answered(pool *slabby.Slabby, ref slabby.SlabRef, err error) {
	status, known := slabby.StatusOf(err)
	if !known || err == nil {
		fmt.Fprintln(os.Stderr, "not refused by the package:", err)
		os.Exit(3)
	}
	report(status.String(), ref.ID(), ref.Ref(), pool.Explain(err, ref))
}

// refused is what a cold call answered.
func refused(err error) {
	detail, ok := err.(*slabby.Error)
	if !ok {
		fmt.Fprintln(os.Stderr, "not refused by the package:", err)
		os.Exit(3)
	}
	report(detail.Status.String(), -1, 0, detail.Text)
}

func counted(name string, number int) {
	fmt.Printf("count\t%s\t%d\n", name, number)
}

// rounds is how often, by MISUSE_ROUNDS or else by default.
func rounds(byDefault int) int {
	if asked, err := strconv.Atoi(os.Getenv("MISUSE_ROUNDS")); err == nil && asked > 0 {
		return asked
	}
	return byDefault
}

func main() {
	lists := [][]mistake{releaseMistakes, referenceMistakes, writeMistakes, argumentMistakes}
	for _, list := range lists {
		for _, m := range list {
			if len(os.Args) == 2 && os.Args[1] == "--list" {
				fmt.Println(m.name)
			} else if len(os.Args) == 2 && os.Args[1] == m.name {
				m.make()
				return
			}
		}
	}
	if len(os.Args) != 2 || os.Args[1] != "--list" {
		fmt.Fprintln(os.Stderr, "usage: misuse NAME, one of those of misuse --list")
		os.Exit(2)
	}
}
