// SPDX-License-Identifier: GPL-3.0-or-later

//go:build !slabby_nopin

package main

const withoutPin = false
