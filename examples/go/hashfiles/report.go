// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	slabby "github.com/slabby/slabby/go"
)

// What sha256sum escapes in names; a line with such a name begins with a backslash.
var escapes = strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`)

// writeDigests writes the readable files' lines so that sha256sum --check reads them.
func writeDigests(output string, files []*file) error {
	var lines strings.Builder
	for _, file := range files {
		if file.err != nil {
			continue
		}
		name := escapes.Replace(file.path)
		if name != file.path {
			lines.WriteByte('\\')
		}
		fmt.Fprintf(&lines, "%x  %s\n", file.digest, name)
	}
	return os.WriteFile(output, []byte(lines.String()), 0o666)
}

// reportUnreadable names the files that could not be read, and counts them.
func reportUnreadable(files []*file) (unreadable int) {
	for _, file := range files {
		if file.err != nil {
			unreadable++
			fmt.Fprintf(os.Stderr, "unreadable: %v\n", file.err)
		}
	}
	return unreadable
}

func writeStats(output string, result totals, pool *slabby.Slabby) error {
	stats, err := pool.StatsJSON()
	if err != nil {
		return err
	}
	text, err := json.Marshal(map[string]any{
		"binding":    "go",
		"files":      result.files,
		"unreadable": result.unreadable,
		"bytes":      result.bytes,
		"seconds":    result.seconds,
		"waits":      result.waits,
		"stats":      json.RawMessage(stats),
	})
	if err != nil {
		return err
	}
	return os.WriteFile(output, append(text, '\n'), 0o666)
}
