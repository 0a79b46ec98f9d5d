// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	slabby "github.com/slabby/slabby/go"
)

// A body comes back as its digest; one that finds no slab is sent away, and nothing is lost on the way.
func TestBodiesLiveInSlabs(t *testing.T) {
	pool, err := newPool()
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	server := httptest.NewServer(&gateway{pool, 0})
	defer server.Close()
	for _, size := range []int{0, 1, bodyBytes} {
		if err := send(context.Background(), server.URL+"/bodies", size); err != nil {
			t.Error(err)
		}
	}
	held, err := pool.BatchAllocate(capacity)
	if err != nil {
		t.Fatal(err)
	}
	for path, status := range map[string]int{"/bodies": http.StatusServiceUnavailable, "/other": http.StatusNotFound} {
		reply, err := http.Post(server.URL+path, "", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		reply.Body.Close()
		if reply.StatusCode != status {
			t.Errorf("%s: %s", path, reply.Status)
		}
	}
	if err := pool.BatchDeallocate(held); err != nil {
		t.Fatal(err)
	}
	reply, err := http.Post(server.URL+"/bodies", "", bytes.NewReader(make([]byte, bodyBytes+1)))
	if err != nil {
		t.Fatal(err)
	}
	reply.Body.Close()
	if reply.StatusCode != http.StatusRequestEntityTooLarge || pool.Stats().UsedSlabs != 0 {
		t.Errorf("%s, %d slabs in use", reply.Status, pool.Stats().UsedSlabs)
	}
}

// The whole program: load, endpoints, a clean end.
func TestRun(t *testing.T) {
	reader, writer := io.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, "127.0.0.1:0", "127.0.0.1:0", 2, writer) }()
	text := make([]byte, 200)
	n, err := reader.Read(text)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text[:n]), "live page on ")
	url := strings.TrimSpace(rest)
	for {
		var answer struct {
			Pools []struct {
				Pool  string
				Stats slabby.AllocatorStats
			}
		}
		reply, err := http.Get(url + "stats?pool=bodies")
		if err != nil {
			t.Fatal(err)
		}
		err = json.NewDecoder(reply.Body).Decode(&answer)
		reply.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if answer.Pools[0].Stats.TotalAllocations > 20 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}
