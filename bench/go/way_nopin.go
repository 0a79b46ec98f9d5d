// SPDX-License-Identifier: GPL-3.0-or-later

//go:build slabby_nopin

package main

// This program measures the fallback without procPin.
const withoutPin = true
