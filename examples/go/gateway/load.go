// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// period is one rise and fall of the load.
const period = time.Minute

// startLoad starts clients, and returns what waits for their end.
func startLoad(ctx context.Context, url string, clients int) (wait func()) {
	var all sync.WaitGroup
	for range clients {
		all.Add(1)
		go func() {
			defer all.Done()
			for ctx.Err() == nil {
				if err := burst(ctx, url); err != nil && ctx.Err() == nil {
					fmt.Fprintln(os.Stderr, "gateway: load:", err)
				}
			}
		}()
	}
	return all.Wait
}

// burst sends as many bodies at once as the time of the day asks for, then rests a little.
func burst(ctx context.Context, url string) error {
	phase := float64(time.Now().UnixNano()) / float64(period) * 2 * math.Pi
	count := 1 + int(10*(1-math.Cos(phase))/2)
	failures := make(chan error, count)
	for range count {
		go func() { failures <- send(ctx, url, rand.N(bodyBytes+1)) }()
	}
	var first error
	for range count {
		if err := <-failures; err != nil && first == nil {
			first = err
		}
	}
	select {
	case <-ctx.Done():
	case <-time.After(20 * time.Millisecond):
	}
	return first
}

// send posts a body and checks the answer. To be sent away is no error.
func send(ctx context.Context, url string, size int) error {
	body := bytes.Repeat([]byte{byte(size)}, size)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	reply, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	if err != nil {
		return err
	}
	digest := sha256.Sum256(body)
	switch {
	case reply.StatusCode == http.StatusServiceUnavailable:
		return nil
	case reply.StatusCode != http.StatusOK || strings.TrimSpace(string(text)) != hex.EncodeToString(digest[:]):
		return fmt.Errorf("%s: %.80q for %d bytes", reply.Status, text, size)
	}
	return nil
}
