// SPDX-License-Identifier: GPL-3.0-or-later

package slabbyhttp

import _ "embed"

// page is the live page, written by ./dev gen.
//
//go:embed page.html
var page []byte
