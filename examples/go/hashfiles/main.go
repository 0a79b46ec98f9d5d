// SPDX-License-Identifier: GPL-3.0-or-later

// Hashfiles hashes files with SHA-256 through the slabs of one pool; -help says how to call it.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"

	slabby "github.com/slabby/slabby/go"
)

const maxWorkers = 64

type settings struct {
	output, statsJSON string
	slabs, slabSize   int
	readers, hashers  int
	paths             []string
}

func parse() (settings, error) {
	var s settings
	flag.StringVar(&s.output, "output", "", "`file` for \"DIGEST  PATH\" lines, sorted by path")
	flag.StringVar(&s.statsJSON, "stats-json", "", "`file` for totals and the pool's statistics")
	flag.IntVar(&s.slabs, "slabs", 32, "slabs in the pool")
	flag.IntVar(&s.slabSize, "slab-size", 65536, "`bytes` read at a time")
	flag.IntVar(&s.readers, "readers", 2, "reading goroutines, 1 to 64")
	flag.IntVar(&s.hashers, "hashers", 2, "hashing goroutines, 1 to 64")
	flag.Parse()
	s.paths = flag.Args()
	if s.output == "" || len(s.paths) == 0 {
		return s, errors.New("give --output FILE and at least one path")
	}
	for name, workers := range map[string]int{"readers": s.readers, "hashers": s.hashers} {
		if workers < 1 || workers > maxWorkers {
			return s, fmt.Errorf("--%s: %d is not between 1 and %d", name, workers, maxWorkers)
		}
	}
	return s, nil
}

// checkPool reports slabs that did not come back, and what the pool finds wrong with itself.
func checkPool(pool *slabby.Slabby) error {
	findings, err := pool.Verify()
	if err != nil {
		return err
	}
	if used := pool.Stats().UsedSlabs; used != 0 || len(findings) != 0 {
		return fmt.Errorf("%d slabs are still in use, the pool found %d faults in itself", used,
			len(findings))
	}
	return nil
}

func counted(number int64, noun string) string {
	if number == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", number, noun)
}

func run(s settings, files []*file, unreadableDirectories int) error {
	pool, err := slabby.New(s.slabSize, s.slabs, slabby.WithName("hashfiles"))
	if err != nil {
		return err
	}
	defer pool.Close()
	result, err := hashAll(pool, files, s.readers, s.hashers)
	if err != nil {
		return err
	}
	if err := checkPool(pool); err != nil {
		return err
	}
	result.unreadable = unreadableDirectories + reportUnreadable(files)
	result.files = len(files) + unreadableDirectories - result.unreadable
	if err := writeDigests(s.output, files); err != nil {
		return err
	}
	if s.statsJSON != "" {
		if err := writeStats(s.statsJSON, result, pool); err != nil {
			return err
		}
	}
	fmt.Printf("%s, %d unreadable, %.1f MB in %.2f s, %s for a slab\n", counted(int64(result.files), "file"),
		result.unreadable, float64(result.bytes)/1e6, result.seconds, counted(result.waits, "wait"))
	return nil
}

func main() {
	s, err := parse()
	if err != nil {
		fmt.Fprintf(os.Stderr, "hashfiles: %v\n\n", err)
		flag.Usage()
		os.Exit(2)
	}
	files, unreadableDirectories, err := collect(s.paths)
	if err != nil {
		fmt.Fprintf(os.Stderr, "hashfiles: %v\n", err)
		os.Exit(2)
	}
	if len(files) == 0 {
		fmt.Fprintln(os.Stderr, "hashfiles: no files: the given paths hold none that could be hashed")
		os.Exit(1)
	}
	if err := run(s, files, unreadableDirectories); err != nil {
		fmt.Fprintf(os.Stderr, "hashfiles: %v\n", err)
		os.Exit(1)
	}
}
