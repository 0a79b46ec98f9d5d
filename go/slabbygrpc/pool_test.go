// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabbygrpc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/wrapperspb"

	slabby "github.com/slabby/slabby/go"
	"github.com/slabby/slabby/go/internal/pooltest"
	"github.com/slabby/slabby/go/slabbygrpc"
)

var newPool, used, panicOf = pooltest.New, pooltest.Used, pooltest.PanicOf

func newBuffers(t *testing.T, pools ...*slabby.Slabby) *slabbygrpc.BufferPool {
	t.Helper()
	buffers, err := slabbygrpc.NewBufferPool(pools...)
	if err != nil {
		t.Fatal(err)
	}
	return buffers
}

// Guards: a length goes to the smallest slabs that hold it, one that fits nowhere and one of an exhausted
// pool to gRPC's own, and each comes back to where it was.
func TestLengths(t *testing.T) {
	large, small := newPool(t, 8192, 2), newPool(t, 2000, 2)
	buffers := newBuffers(t, large, small)
	for _, c := range []struct{ length, small, large int }{
		{0, 0, 0}, {1, 1, 0}, {2000, 1, 0}, {2001, 0, 1}, {8192, 0, 1}, {8193, 0, 0}, {1 << 20, 0, 0},
	} {
		data := buffers.Get(c.length)
		if len(*data) != c.length || used(small) != c.small || used(large) != c.large {
			t.Errorf("%d bytes: %d of %d, %d small and %d large slabs used", c.length, len(*data), cap(*data),
				used(small), used(large))
		}
		buffers.Put(data)
		if used(small) != 0 || used(large) != 0 {
			t.Errorf("%d bytes: %d small and %d large slabs left", c.length, used(small), used(large))
		}
	}
	var lent []*[]byte
	for range 5 {
		lent = append(lent, buffers.Get(100))
	}
	if used(small) != 2 || used(large) != 0 {
		t.Errorf("%d small and %d large slabs used by five small buffers", used(small), used(large))
	}
	for _, data := range lent {
		buffers.Put(data)
	}
	if used(small) != 0 {
		t.Errorf("%d slabs left", used(small))
	}
}

// Guards: what the last user wrote is gone, to the end of the capacity.
func TestBuffersAreZero(t *testing.T) {
	pool := newPool(t, 4096, 1)
	buffers := newBuffers(t, pool)
	for range 3 {
		data := buffers.Get(10)
		whole := (*data)[:cap(*data)]
		if len(whole) != 4096 || bytes.Count(whole, []byte{0}) != 4096 {
			t.Fatalf("%d of %d bytes are zero", bytes.Count(whole, []byte{0}), len(whole))
		}
		for at := range whole {
			whole[at] = 0xAA
		}
		buffers.Put(data)
	}
}

// Guards: a buffer is known by its pointer, whatever its slice has become, and by its bytes.
func TestPutKnowsTheSlab(t *testing.T) {
	pool := newPool(t, 2048, 4)
	buffers := newBuffers(t, pool)
	for name, put := range map[string]func(data *[]byte){
		"as it was":          func(data *[]byte) { buffers.Put(data) },
		"shortened":          func(data *[]byte) { *data = (*data)[:0]; buffers.Put(data) },
		"by another pointer": func(data *[]byte) { other := (*data)[:3]; buffers.Put(&other) },
	} {
		put(buffers.Get(1500))
		if used(pool) != 0 {
			t.Fatalf("%s: %d slabs left", name, used(pool))
		}
	}
}

// Guards: mistakes are panics with the error, and change nothing.
func TestMistakes(t *testing.T) {
	pool := newPool(t, 2048, 4)
	buffers := newBuffers(t, pool)
	data, other := buffers.Get(100), buffers.Get(100)
	stale, inside := *data, (*other)[8:]
	buffers.Put(data)
	if *data != nil {
		t.Error("a buffer can be used after Put")
	}
	buffers.Put(data) // nil by now, so that this is nothing
	for name, c := range map[string]struct {
		data *[]byte
		want error
	}{
		"put twice":     {&stale, slabby.ErrDoubleDeallocation},
		"inside a slab": {&inside, slabby.ErrInvalidReference},
	} {
		if err := panicOf(func() { buffers.Put(c.data) }); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if used(pool) != 1 {
		t.Errorf("%d slabs used, want 1", used(pool))
	}
	buffers.Put(other)

	for name, pools := range map[string][]*slabby.Slabby{
		"none": nil, "nil": {nil}, "two of a size": {pool, newPool(t, 2048, 1)}, "too small": {newPool(t, 1024, 1)},
	} {
		if _, err := slabbygrpc.NewBufferPool(pools...); !errors.Is(err, slabby.ErrInvalidArgument) {
			t.Errorf("%s: %v", name, err)
		} else {
			t.Log(err)
		}
	}
}

// Guards: pools with slabs on the heap and on guard slots, with tokens, that grow, or that are closed.
func TestOtherPools(t *testing.T) {
	for name, options := range map[string][]slabby.AllocatorOption{
		"heap":       {slabby.WithHeapFallback()},
		"guards":     {slabby.WithGuardSampleRate(2)},
		"finalizers": {slabby.WithFinalizers()},
		"protected":  {slabby.WithSecure(), slabby.WithBitGuard()},
		"resized":    {slabby.WithMaxCapacity(16)},
	} {
		pool := newPool(t, 2048, 4, options...)
		buffers := newBuffers(t, pool)
		if name == "resized" {
			if _, err := pool.Resize(16); err != nil {
				t.Fatal(err)
			}
		}
		var lent []*[]byte
		for range 20 {
			lent = append(lent, buffers.Get(2048))
		}
		for at, data := range lent {
			(*data)[0], (*data)[2047] = byte(at), byte(at)
		}
		for at, data := range lent {
			if (*data)[0] != byte(at) || (*data)[2047] != byte(at) {
				t.Errorf("%s: two buffers share memory", name)
			}
			buffers.Put(data)
		}
		if used(pool) != 0 {
			t.Errorf("%s: %d slabs left", name, used(pool))
		}
	}
	closed := newPool(t, 2048, 4)
	buffers := newBuffers(t, closed)
	data := buffers.Get(10)
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	after := buffers.Get(10)
	buffers.Put(data)
	buffers.Put(after)
}

// Guards: what is lost comes back where that was asked for, and only what is lost.
func TestLostBuffers(t *testing.T) {
	pool := newPool(t, 2048, 8)
	buffers := newBuffers(t, pool)
	lose := func(count int) {
		for range count {
			(*buffers.Get(2048))[0] = 1
		}
	}
	lose(3)
	for range 3 {
		runtime.GC()
	}
	if used(pool) != 3 || buffers.Reclaimed() != 0 {
		t.Fatalf("%d slabs used, %d reclaimed unasked", used(pool), buffers.Reclaimed())
	}
	buffers.ReclaimLost()
	held := buffers.Get(2048)
	part, rest := mem.SplitUnsafe(mem.NewBuffer(buffers.Get(2048), buffers), 5)
	rest.Free()
	lose(3)
	pooltest.Collect(func() bool { return buffers.Reclaimed() == 3 })
	if used(pool) != 5 || part.Len() != 5 {
		t.Errorf("%d slabs used, want 5", used(pool))
	}
	buffers.Put(held)
	part.Free()
	for range 3 { // the slabs serve again, and their new buffers too
		lent := []*[]byte{buffers.Get(2048), buffers.Get(2048), buffers.Get(2048)}
		for _, data := range lent {
			buffers.Put(data)
			if *data != nil {
				t.Fatal("a buffer can be used after Put")
			}
		}
	}
}

// Guards: neither side allocates once each slab was used.
func TestNoGarbage(t *testing.T) {
	buffers := newBuffers(t, newPool(t, 4096, 16))
	if count := testing.AllocsPerRun(1000, func() { buffers.Put(buffers.Get(3000)) }); count != 0 {
		t.Errorf("%v allocations", count)
	}
}

func inParallel(workers int, work func(worker int)) {
	var group sync.WaitGroup
	for worker := range workers {
		group.Add(1)
		go func() {
			defer group.Done()
			work(worker)
		}()
	}
	group.Wait()
}

// Guards: goroutines get and put at once, hand buffers on, and no two ever have the same.
func TestConcurrentUse(t *testing.T) {
	small, large := newPool(t, 2048, 16), newPool(t, 4096, 16)
	buffers := newBuffers(t, small, large)
	passed := make(chan *[]byte, 8)
	inParallel(6, func(worker int) {
		random := rand.New(rand.NewPCG(1, uint64(worker)))
		for range 2000 {
			data := buffers.Get(1 + random.IntN(5000))
			mark := byte(1 + random.IntN(255))
			for at := range *data {
				if (*data)[at] != 0 {
					t.Error("a byte of another buffer")
					return
				}
				(*data)[at] = mark
			}
			if bytes.Count(*data, []byte{mark}) != len(*data) {
				t.Error("two goroutines have a buffer")
			}
			select {
			case passed <- data:
			case other := <-passed:
				buffers.Put(other)
				buffers.Put(data)
			default:
				buffers.Put(data)
			}
		}
	})
	close(passed)
	for data := range passed {
		buffers.Put(data)
	}
	if used(small)+used(large) != 0 {
		t.Errorf("%d small and %d large slabs left", used(small), used(large))
	}
}

func streamed(_ any, stream grpc.ServerStream) error {
	for {
		var message wrapperspb.BytesValue
		if err := stream.RecvMsg(&message); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := stream.SendMsg(&message); err != nil {
			return err
		}
	}
}

// connected is a client of a server, both over the buffers; stop ends both.
func connected(t *testing.T, buffers mem.BufferPool) (client *grpc.ClientConn, stop func()) {
	t.Helper()
	server := grpc.NewServer(experimental.BufferPool(buffers))
	server.RegisterService(&mirror, nil)
	listener := bufconn.Listen(1 << 20)
	ended := make(chan error)
	go func() { ended <- server.Serve(listener) }()
	client, err := grpc.NewClient("passthrough:///mirror", experimental.WithBufferPool(buffers),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return listener.Dial() }))
	if err != nil {
		t.Fatal(err)
	}
	return client, func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
		server.Stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// Guards: after calls of many sizes, streams that end and streams that are cut off, every slab is back.
func TestCallsGiveAllBack(t *testing.T) {
	pool := newPool(t, 16<<10, 512)
	buffers := newBuffers(t, pool)
	buffers.ReclaimLost()
	client, stop := connected(t, buffers)
	inParallel(4, func(worker int) {
		for size := 1; size < 200_000; size = size*3 + worker {
			sent := wrapperspb.Bytes(bytes.Repeat([]byte{byte(worker)}, size))
			var got wrapperspb.BytesValue
			if err := client.Invoke(context.Background(), "/Mirror/Send", sent, &got); err != nil {
				t.Error(err)
			} else if !bytes.Equal(sent.Value, got.Value) {
				t.Errorf("%d bytes came back wrong", size)
			}
		}
		for messages := range 12 {
			if err := converse(client, messages, messages%2 == 0); err != nil {
				t.Error(err)
			}
		}
	})
	stop()
	// gRPC's goroutines end a little later than its calls.
	pooltest.Collect(func() bool { return used(pool) == 0 })
	t.Logf("%d slabs used, of which %d were lost", pool.Stats().TotalAllocations, buffers.Reclaimed())
	if pool.Stats().TotalAllocations < 100 {
		t.Errorf("only %d slabs were used", pool.Stats().TotalAllocations)
	}
}

// converse sends messages over a stream, which ends in order or is cut off with answers unread.
func converse(client *grpc.ClientConn, messages int, cut bool) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stream, err := client.NewStream(ctx, &mirror.Streams[0], "/Mirror/Stream")
	if err != nil {
		return err
	}
	sent := wrapperspb.Bytes(bytes.Repeat([]byte("message "), 2000))
	for range messages {
		if err := stream.SendMsg(sent); err != nil {
			return fmt.Errorf("sending: %w", err)
		}
	}
	if cut {
		return nil
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	for answers := 0; ; answers++ {
		var got wrapperspb.BytesValue
		err := stream.RecvMsg(&got)
		if err == io.EOF && answers == messages {
			return nil
		}
		if err != nil || !bytes.Equal(got.Value, sent.Value) {
			return fmt.Errorf("answer %d of %d: %d bytes, %v", answers+1, messages, len(got.Value), err)
		}
	}
}
