// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabbygrpc_test

import (
	"bytes"
	"context"
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/wrapperspb"

	slabby "github.com/slabby/slabby/go"
	"github.com/slabby/slabby/go/slabbygrpc"
)

// mirrored sends what it gets.
func mirrored(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	message := &wrapperspb.BytesValue{}
	return message, decode(message)
}

// mirror is a service as protoc would write it: a call, and a stream.
var mirror = grpc.ServiceDesc{
	ServiceName: "Mirror",
	HandlerType: (*any)(nil),
	Methods:     []grpc.MethodDesc{{MethodName: "Send", Handler: mirrored}},
	Streams:     []grpc.StreamDesc{{StreamName: "Stream", Handler: streamed, ServerStreams: true, ClientStreams: true}},
}

// Messages of a client and a server are received into slabs.
func ExampleNewBufferPool() {
	pages, err := slabby.New(4<<10, 256)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pages.Close()
	frames, err := slabby.New(32<<10, 64)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer frames.Close()
	buffers, err := slabbygrpc.NewBufferPool(pages, frames)
	if err != nil {
		fmt.Println(err)
		return
	}
	buffers.ReclaimLost() // streams that are cut off lose buffers

	server := grpc.NewServer(experimental.BufferPool(buffers))
	server.RegisterService(&mirror, nil)
	listener := bufconn.Listen(1 << 20)
	go server.Serve(listener)
	defer server.Stop()
	client, err := grpc.NewClient("passthrough:///mirror", experimental.WithBufferPool(buffers),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return listener.Dial() }))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	request := wrapperspb.Bytes(bytes.Repeat([]byte("slab"), 5000))
	answer := &wrapperspb.BytesValue{}
	if err := client.Invoke(context.Background(), "/Mirror/Send", request, answer); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("the same:", bytes.Equal(answer.Value, request.Value), "- slabs used:",
		frames.Stats().TotalAllocations > 0)
	// Output: the same: true - slabs used: true
}
