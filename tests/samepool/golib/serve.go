// SPDX-License-Identifier: GPL-3.0-or-later

package main

import "C"

import (
	"context"
	"net"
	"net/http"

	slabby "github.com/slabby/slabby/go"
	"github.com/slabby/slabby/go/slabbyhttp"
)

func listen(serve func(listener net.Listener, pools []*slabby.Slabby), first int32) int32 {
	lock.RLock()
	pools := append([]*slabby.Slabby{}, joined[first:]...)
	lock.RUnlock()
	return listenFor(serve, pools)
}

func listenFor(serve func(listener net.Listener, pools []*slabby.Slabby), pools []*slabby.Slabby) int32 {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return -1
	}
	go serve(listener, pools)
	return int32(listener.Addr().(*net.TCPAddr).Port)
}

// golib_serve serves the pools that were adopted from `first` on, with the token "token". It returns the port on
// loopback, or -1.
//
//export golib_serve
func golib_serve(first int32) int32 {
	return listen(func(listener net.Listener, pools []*slabby.Slabby) {
		pooled, token := slabbyhttp.WithPools(pools...), slabbyhttp.WithToken("token")
		_ = slabbyhttp.Serve(context.Background(), listener, pooled, token)
	}, first)
}

// golib_serve_mounted serves them below /mount, read-only, for any Host, and not ready when exhausted.
//
//export golib_serve_mounted
func golib_serve_mounted(first int32) int32 {
	return listen(func(listener net.Listener, pools []*slabby.Slabby) {
		handler := slabbyhttp.New(slabbyhttp.WithPools(pools...), slabbyhttp.WithExhaustion())
		_ = http.Serve(listener, http.StripPrefix("/mount", handler))
	}, first)
}

// golib_serve_all serves every open pool of the process.
//
//export golib_serve_all
func golib_serve_all() int32 {
	return listenFor(func(listener net.Listener, _ []*slabby.Slabby) {
		_ = slabbyhttp.Serve(context.Background(), listener)
	}, nil)
}
