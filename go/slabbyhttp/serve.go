// SPDX-License-Identifier: GPL-3.0-or-later

package slabbyhttp

import (
	"context"
	"net"
	"net/http"
	"time"
)

// DefaultAddress is where ListenAndServe listens unless it is given another address.
const DefaultAddress = "127.0.0.1:7227"

// shutdownTimeout is how long answers that are under way may take at the end.
const shutdownTimeout = 5 * time.Second

// ListenAndServe serves the endpoints at an address until the context ends. An address without a
// host, such as ":7227", means loopback: other machines reach the server only where the address says
// so, as "0.0.0.0:7227" does. An empty address is DefaultAddress.
func ListenAndServe(ctx context.Context, address string, options ...Option) error {
	if address == "" {
		address = DefaultAddress
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	if host == "" {
		host = "127.0.0.1"
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return err
	}
	return Serve(ctx, listener, options...)
}

// Serve serves the endpoints on a listener, which it closes, until the context ends. On loopback it
// answers only to names of loopback, unless WithHosts says otherwise.
func Serve(ctx context.Context, listener net.Listener, options ...Option) error {
	if address, ok := listener.Addr().(*net.TCPAddr); ok && address.IP.IsLoopback() {
		options = append([]Option{WithHosts("localhost", "127.0.0.1", "::1")}, options...)
	}
	server := &http.Server{
		Handler:           New(options...),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		// Streams of events end with it.
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	ended := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		ended <- server.Shutdown(limit)
	})
	if err := server.Serve(listener); err != http.ErrServerClosed {
		stop()
		return err
	}
	return <-ended
}
