// SPDX-License-Identifier: GPL-3.0-or-later

// Exporter serves the metrics of this program's pools to Prometheus, on loopback, by its client
// library: `exporter [PORT]`, 9466 by default, 0 for any that is free. It prints the address, and ends
// when its input ends.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	slabby "github.com/slabby/slabby/go"
	"github.com/slabby/slabby/go/slabbyprom"
)

// makePool makes a pool to see: full once, with one refusal and one mistake, and 40 of 100 slabs live
// in the end.
func makePool() (*slabby.Slabby, error) {
	pool, err := slabby.New(4096, 100, slabby.WithName("orders"), slabby.WithLatencyTracking(slabby.LatencyTrackingAll))
	if err != nil {
		return nil, err
	}
	refs := make([]slabby.SlabRef, 100)
	for at := range refs {
		if refs[at], err = pool.Allocate(); err != nil {
			return nil, err
		}
	}
	if _, err := pool.Allocate(); err == nil {
		return nil, fmt.Errorf("a pool of 100 slabs gave 101")
	}
	for _, ref := range refs[:60] {
		if err := ref.Release(); err != nil {
			return nil, err
		}
	}
	if refs[0].Release() == nil {
		return nil, fmt.Errorf("a slab was released twice")
	}
	return pool, nil
}

func main() {
	port := "9466"
	if len(os.Args) > 1 {
		port = os.Args[1]
	}
	pool, err := makePool()
	if err != nil {
		log.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(slabbyprom.NewCollector()) // the one line that a program needs
	http.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("http://%s/metrics\n", listener.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = listener.Close()
	}()
	_ = http.Serve(listener, nil)
	runtime.KeepAlive(pool)
}
