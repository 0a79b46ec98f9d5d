// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"time"

	slabby "github.com/slabby/slabby/go"
)

// A reverse proxy copies each response through a buffer of 32 KiB, which it gets from an httputil.BufferPool. Here
// backend, proxies and clients are one process on loopback: what differs between the proxies is the buffers.
const (
	proxyBuffer      = 32 << 10
	proxyBody        = 64 << 10
	proxyBodies      = 16
	proxyConnections = 16
)

// proxied is a proxy with its buffers, the clients that load it, and what each round took.
type proxied struct {
	name    string
	buffers httputil.BufferPool
	clients []*client
	rounds  []proxyRound
}

type proxyRound struct {
	median, p99        float64 // microseconds
	allocations, bytes float64 // a request
}

// syncBuffers is how programs put a sync.Pool behind httputil.BufferPool.
type syncBuffers struct {
	pool sync.Pool
}

func newSyncBuffers() *syncBuffers {
	return &syncBuffers{sync.Pool{New: func() any { b := make([]byte, proxyBuffer); return &b }}}
}

func (b *syncBuffers) Get() []byte     { return *b.pool.Get().(*[]byte) }
func (b *syncBuffers) Put(data []byte) { b.pool.Put(&data) }

// bodies are what the backend answers, each of other bytes, so that a buffer in two hands is noticed.
func bodies() [][]byte {
	list := make([][]byte, proxyBodies)
	for at := range list {
		list[at] = bytes.Repeat([]byte{byte(at + 1)}, proxyBody)
	}
	return list
}

func backendOf(list [][]byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at, err := strconv.Atoi(r.URL.Path[1:])
		if err != nil || at < 0 || at >= len(list) {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(list[at])))
		_, _ = w.Write(list[at]) // the client counts the bytes
	})
}

// serveLoopback serves until the end of the program.
func serveLoopback(handler http.Handler) (address string, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = server.Serve(listener) }()
	return listener.Addr().String(), nil
}

func proxyTo(backend string, buffers httputil.BufferPool) http.Handler {
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: backend})
	proxy.Transport = &http.Transport{MaxIdleConnsPerHost: proxyConnections, DisableCompression: true}
	proxy.BufferPool = buffers
	return proxy
}

// openProxies starts the backend and one proxy for each kind of buffers, with its clients.
func openProxies(pool *slabby.Slabby) ([]*proxied, error) {
	answers := bodies()
	backend, err := serveLoopback(backendOf(answers))
	if err != nil {
		return nil, err
	}
	list := []*proxied{
		{name: "slabs", buffers: pool.BufferPool()},
		{name: "sync.Pool", buffers: newSyncBuffers()},
		{name: "make"},
	}
	for _, p := range list {
		address, err := serveLoopback(proxyTo(backend, p.buffers))
		if err != nil {
			return nil, err
		}
		for range proxyConnections {
			c, err := newClient(address, answers)
			if err != nil {
				return nil, err
			}
			p.clients = append(p.clients, c)
		}
	}
	return list, nil
}

// load sends so many requests by each client at once, and notes what they took.
func (p *proxied) load(requests int) error {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	done := make(chan error, len(p.clients))
	for _, c := range p.clients {
		go func() { done <- c.ask(requests) }()
	}
	var failed error
	for range p.clients {
		if err := <-done; err != nil {
			failed = err
		}
	}
	if failed != nil {
		return fmt.Errorf("%s: %w", p.name, failed)
	}
	runtime.ReadMemStats(&after)
	var times []time.Duration
	for _, c := range p.clients {
		times = append(times, c.times...)
	}
	slices.Sort(times)
	at := func(share float64) float64 { return times[int(share*float64(len(times)-1))].Seconds() * 1e6 }
	count := float64(len(times))
	p.rounds = append(p.rounds, proxyRound{at(0.5), at(0.99), float64(after.Mallocs-before.Mallocs) / count,
		float64(after.TotalAlloc-before.TotalAlloc) / count})
	return nil
}

// showProxies prints what the buffers of a reverse proxy under load cost; the proxies take turns.
func showProxies(rounds, requests int) error {
	pool, err := slabby.New(proxyBuffer, 4*proxyConnections)
	if err != nil {
		return err
	}
	list, err := openProxies(pool)
	if err != nil {
		return err
	}
	for range rounds + 1 {
		for _, p := range list {
			if err := p.load(requests); err != nil {
				return err
			}
		}
	}
	stats := pool.Stats()
	all := (rounds + 1) * requests * proxyConnections
	if stats.TotalAllocations < uint64(all) || stats.AllocationErrors > 0 {
		return fmt.Errorf("slabs served %d of %d responses, and %d found none", stats.TotalAllocations, all,
			stats.AllocationErrors)
	}
	reportProxies(list, rounds, requests)
	return nil
}

func reportProxies(list []*proxied, rounds, requests int) {
	fmt.Printf("\nreverse proxy: bodies of %d KiB by %d connections; medians of %d rounds of %d requests, in turns\n",
		proxyBody>>10, proxyConnections, rounds, requests*proxyConnections)
	fmt.Printf("  %-10s %9s %9s %14s %12s %14s\n", "buffers", "p50 us", "p99 us", "p99/sync.Pool", "allocations",
		"bytes a request")
	for _, p := range list {
		of := func(value func(proxyRound) float64) float64 {
			var values []float64
			for _, round := range p.rounds[1:] { // the first warms up
				values = append(values, value(round))
			}
			return median(values)
		}
		var ratios []float64
		for at, round := range p.rounds[1:] {
			ratios = append(ratios, round.p99/list[1].rounds[at+1].p99)
		}
		fmt.Printf("  %-10s %9.0f %9.0f %14.2f %12.1f %14.0f\n", p.name,
			of(func(r proxyRound) float64 { return r.median }), of(func(r proxyRound) float64 { return r.p99 }),
			median(ratios), of(func(r proxyRound) float64 { return r.allocations }),
			of(func(r proxyRound) float64 { return r.bytes }))
	}
}
