// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo && !race

package slabby_test

// Without this file the tests need no net/http, which takes a third of the time that Go's library takes to be compiled
// for the race detector.

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"

	slabby "github.com/slabby/slabby/go"
)

// A reverse proxy copies bodies through slabs.
func ExampleSlabby_BufferPool() {
	pool, err := slabby.New(32<<10, 64)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.Close()
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "hello from behind")
	}))
	defer backend.Close()
	target, _ := url.Parse(backend.URL)
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.BufferPool = pool.BufferPool()
	front := httptest.NewServer(proxy)
	defer front.Close()

	answer, err := http.Get(front.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	stats := pool.Stats()
	fmt.Printf("%s; slabs used: %t, still out: %d\n", body, stats.TotalAllocations > 0, stats.UsedSlabs)
	// Output: hello from behind; slabs used: true, still out: 0
}
