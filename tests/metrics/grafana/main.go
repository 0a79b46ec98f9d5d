// SPDX-License-Identifier: GPL-3.0-or-later

// Grafana reads a dashboard by the types that Grafana publishes, and names each field that they do not have or whose
// value they do not allow: grafana FILE.
package main

import (
	"fmt"
	"os"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

func check(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	plugins.RegisterDefaultPlugins()
	var found dashboard.Dashboard
	// Both calls may return an error that lists nothing.
	if err := found.UnmarshalJSONStrict(text); err != nil && err.Error() != "" {
		return err
	}
	return found.Validate()
}

func main() {
	if err := check(os.Args[1]); err != nil && err.Error() != "" {
		fmt.Println(err)
		os.Exit(1)
	}
}
