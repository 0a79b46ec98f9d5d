// SPDX-License-Identifier: GPL-3.0-or-later

package slabbyhttp

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// parseQuery reads name=value pairs. A parameter that the path does not take is an error, so that a
// typing mistake does not pass for the default.
func parseQuery(raw string, names []string) (map[string]string, *problem) {
	values := map[string]string{}
	for _, part := range strings.Split(raw, "&") {
		if part == "" {
			continue
		}
		name, text, _ := strings.Cut(part, "=")
		if !slices.Contains(names, name) {
			return nil, refusef(http.StatusBadRequest, "no parameter %q here; there are: %s", printable(name), listed(names))
		}
		if _, repeated := values[name]; repeated {
			return nil, refusef(http.StatusBadRequest, "parameter %q is given twice", name)
		}
		value, err := url.PathUnescape(text)
		if err != nil {
			return nil, refusef(http.StatusBadRequest, "the value of %q has a %% without two hexadecimal digits", name)
		}
		values[name] = value
	}
	return values, nil
}

// flag reads a parameter that is 0 or 1.
func flag(query map[string]string, name string, byDefault bool) (bool, *problem) {
	value, given := query[name]
	switch {
	case !given:
		return byDefault, nil
	case value == "0" || value == "1":
		return value == "1", nil
	}
	return false, refusef(http.StatusBadRequest, "parameter %q is %q and must be 0 or 1", name, printable(value))
}

func listed(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// printable is a client's text as an answer repeats it: ASCII without quotes, at most 64 bytes.
func printable(text string) string {
	shown := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' {
			return '?'
		}
		return r
	}, text)
	if len(shown) > 64 {
		return shown[:64] + "..."
	}
	return shown
}
