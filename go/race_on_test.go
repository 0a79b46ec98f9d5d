// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo && race

package slabby_test

const raceEnabled = true
