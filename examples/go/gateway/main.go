// SPDX-License-Identifier: GPL-3.0-or-later

// Gateway takes request bodies over HTTP into the slabs of one pool and answers with their digest, as a
// proxy or an upload service does. Its endpoints and live page are on an address of their own. With -load
// it is its own clients, on loopback.
//
//	go run ./gateway -load 8
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	slabby "github.com/slabby/slabby/go"
	"github.com/slabby/slabby/go/slabbyhttp"
)

const (
	bodyBytes = 64 << 10
	capacity  = 64
	// How long a request waits for a slab before it is sent away.
	waitLimit = 50 * time.Millisecond
)

type gateway struct {
	pool *slabby.Slabby
	// What the service behind the gateway would take, a body at a time.
	work time.Duration
}

func newPool() (*slabby.Slabby, error) {
	return slabby.New(bodyBytes, capacity,
		slabby.WithName("bodies"),
		slabby.WithPreset(slabby.PresetGateway), // zeroes, verifies, sheds load step by step
		slabby.WithText("heap_fallback", "off"), // full is full here: the client is told to come back
		slabby.WithDebug())                      // so that the page can say what code holds slabs
}

// ServeHTTP reads one body into a slab, works on it there, and gives the slab back.
func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || r.URL.Path != "/bodies" {
		http.Error(w, "POST a body to /bodies", http.StatusNotFound)
		return
	}
	if r.ContentLength < 0 || r.ContentLength > bodyBytes {
		http.Error(w, fmt.Sprintf("a body has a Content-Length of at most %d bytes", bodyBytes),
			http.StatusRequestEntityTooLarge)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), waitLimit)
	defer cancel()
	ref, err := g.pool.AllocateContext(ctx)
	if err != nil {
		w.Header().Set("Retry-After", "1")
		http.Error(w, "no slab for the body: "+err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer ref.Release()
	body := ref.GetBytes()[:r.ContentLength]
	if _, err := io.ReadFull(r.Body, body); err != nil {
		http.Error(w, "the body ended early", http.StatusBadRequest)
		return
	}
	digest := sha256.Sum256(body)
	time.Sleep(g.work)
	fmt.Fprintln(w, hex.EncodeToString(digest[:]))
}

// run serves until the context ends.
func run(ctx context.Context, address, admin string, clients int, out io.Writer) error {
	pool, err := newPool()
	if err != nil {
		return err
	}
	defer pool.Close()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	adminListener, err := net.Listen("tcp", admin)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: &gateway{pool, 20 * time.Millisecond}, ReadHeaderTimeout: 5 * time.Second}
	failed := make(chan error, 2)
	go func() { failed <- server.Serve(listener) }()
	go func() {
		failed <- slabbyhttp.Serve(ctx, adminListener, slabbyhttp.WithToken(os.Getenv("SLABBY_TOKEN")))
	}()
	fmt.Fprintf(out, "gateway on http://%s/bodies\nlive page on http://%s/\n", listener.Addr(), adminListener.Addr())
	ended := startLoad(ctx, "http://"+listener.Addr().String()+"/bodies", clients)
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	ended()
	limit, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return errors.Join(err, server.Shutdown(limit))
}

func main() {
	address := flag.String("address", "127.0.0.1:7228", "where bodies are taken")
	admin := flag.String("admin", slabbyhttp.DefaultAddress, "where the endpoints and the live page are")
	clients := flag.Int("load", 0, "clients of its own, on loopback")
	seconds := flag.Float64("seconds", 0, "end after so long; 0: at Ctrl-C")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if *seconds > 0 {
		limited, cancel := context.WithTimeout(ctx, time.Duration(*seconds*float64(time.Second)))
		defer cancel()
		ctx = limited
	}
	if err := run(ctx, *address, *admin, *clients, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "gateway:", err)
		os.Exit(1)
	}
}
