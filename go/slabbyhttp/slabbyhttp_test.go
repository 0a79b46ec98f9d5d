// SPDX-License-Identifier: GPL-3.0-or-later

package slabbyhttp_test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	slabby "github.com/slabby/slabby/go"
	"github.com/slabby/slabby/go/slabbyhttp"
)

func newPool(t testing.TB, capacity int, options ...slabby.AllocatorOption) *slabby.Slabby {
	t.Helper()
	pool, err := slabby.New(64, capacity, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	return pool
}

// serveOn is a server on loopback, and how to end it and see how it ended.
func serveOn(t *testing.T, options ...slabbyhttp.Option) (address string, stop func() error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- slabbyhttp.Serve(ctx, listener, options...) }()
	t.Cleanup(cancel)
	return listener.Addr().String(), func() error { cancel(); return <-ended }
}

func ask(t *testing.T, handler http.Handler, target string, into any) int {
	t.Helper()
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, target, nil))
	if err := json.Unmarshal(recorder.Body.Bytes(), into); err != nil {
		t.Fatalf("%s: %v in %q", target, err, recorder.Body)
	}
	return recorder.Code
}

func TestReadinessFollowsTheBreaker(t *testing.T) {
	pool := newPool(t, 1, slabby.WithName("orders"), slabby.WithCircuitBreaker(1, time.Hour))
	handler := slabbyhttp.New(slabbyhttp.WithPools(pool))
	var answer struct {
		Ready   bool
		Reasons []struct{ Pool, Reason, Meaning, Advice string }
	}
	if code := ask(t, handler, "/readyz", &answer); code != 200 || !answer.Ready {
		t.Fatalf("an idle pool: %d %+v", code, answer)
	}
	held, err := pool.Allocate()
	if err != nil {
		t.Fatal(err)
	}
	if code := ask(t, handler, "/readyz", &answer); code != 200 {
		t.Fatalf("exhaustion alone: %d", code)
	}
	if code := ask(t, handler, "/readyz?exhaustion=1", &answer); code != 503 || answer.Reasons[0].Reason != "exhausted" {
		t.Fatalf("exhaustion when asked: %d %+v", code, answer)
	}
	if _, err := pool.Allocate(); err == nil {
		t.Fatal("a second slab of one")
	}
	if code := ask(t, handler, "/readyz", &answer); code != 503 || answer.Reasons[0].Reason != "breaker_open" ||
		answer.Reasons[0].Pool != "orders" || answer.Reasons[0].Advice == "" {
		t.Fatalf("an open breaker: %d %+v", code, answer)
	}
	if err := held.Release(); err != nil {
		t.Fatal(err)
	}
}

func TestNearlyFull(t *testing.T) {
	pool := newPool(t, 10, slabby.WithName("orders"))
	handler := slabbyhttp.New(slabbyhttp.WithPools(pool))
	for live, expected := range []string{9: "", 10: "exhausted"} {
		expectReason(t, handler, live, pool, expected)
	}
	larger := newPool(t, 100, slabby.WithName("larger"))
	handler = slabbyhttp.New(slabbyhttp.WithPools(larger))
	expectReason(t, handler, 90, larger, "")
	expectReason(t, handler, 91, larger, "nearly_full")
}

// expectReason allocates until so many slabs are live, and compares the only reason.
func expectReason(t *testing.T, handler http.Handler, live int, pool *slabby.Slabby, expected string) {
	t.Helper()
	for pool.Stats().UsedSlabs < live {
		ref, err := pool.Allocate()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = ref.Release() })
	}
	var answer struct {
		Pools []struct{ Reasons []struct{ Reason string } }
	}
	ask(t, handler, "/stats", &answer)
	found := ""
	for _, reason := range answer.Pools[0].Reasons {
		found += reason.Reason
	}
	if found != expected {
		t.Errorf("%d live: %q, wanted %q", live, found, expected)
	}
}

// streamed is what /events has at the moment for a client with that id.
func streamed(handler http.Handler, id string) string {
	request := httptest.NewRequest(http.MethodGet, "/events?follow=0", nil)
	request.Header.Set("Last-Event-ID", id)
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	return recorder.Body.String()
}

// lastID is that of the last event of a stream.
func lastID(stream string) string {
	_, id, _ := strings.Cut(stream[max(0, strings.LastIndex(stream, "id: ")):], "id: ")
	id, _, _ = strings.Cut(id, "\n")
	return id
}

// An id is never longer than what is taken back, and no event is missing behind it.
func TestEventsOfManyPools(t *testing.T) {
	var pools []*slabby.Slabby
	for at := range 60 {
		pools = append(pools, newPool(t, 1, slabby.WithName(fmt.Sprintf("%s%d", strings.Repeat("n", 45), at))))
	}
	handler := slabbyhttp.New(slabbyhttp.WithPools(pools...))
	id := lastID(streamed(handler, ""))
	if err := pools[59].SetOption(slabby.OptionSecure, 1); err != nil {
		t.Fatal(err)
	}
	if rest := streamed(handler, id); !strings.Contains(rest, "option_changed") || strings.Contains(rest, "nnn0\"") {
		t.Errorf("behind an id of %d bytes: %q", len(id), rest)
	}
}

// A pool that takes over the label of one that is closed is another: all of its events come, also those with numbers
// that the first one had.
func TestEventsOfARenewedPool(t *testing.T) {
	handler := slabbyhttp.New()
	first := newPool(t, 1, slabby.WithName("renewed"))
	id := lastID(streamed(handler, ""))
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := newPool(t, 1, slabby.WithName("renewed"))
	rest := streamed(handler, id)
	if !strings.Contains(rest, `"pool":"renewed","sequence":0,`) {
		t.Errorf("a stream that was resumed misses the first event: %q", rest)
	}
	if again := streamed(handler, lastID(rest)); strings.Contains(again, `"pool":"renewed"`) {
		t.Errorf("events come twice: %q", again)
	}
	if err := second.SetOption(slabby.OptionSecure, 1); err != nil {
		t.Fatal(err)
	}
	if again := streamed(handler, lastID(rest)); strings.Count(again, `"pool":"renewed"`) != 1 {
		t.Errorf("one event more: %q", again)
	}
}

func TestEventsGoOnWhereAClientStopped(t *testing.T) {
	pool := newPool(t, 4, slabby.WithName("orders"))
	handler := slabbyhttp.New(slabbyhttp.WithPools(pool))
	first := streamed(handler, "")
	_, id, _ := strings.Cut(first, "id: ")
	id, _, _ = strings.Cut(id, "\n")
	if err := pool.SetOptionText("secure", "on"); err != nil {
		t.Fatal(err)
	}
	rest := streamed(handler, id)
	if !strings.Contains(first, `"opened"`) || strings.Contains(rest, `"opened"`) ||
		strings.Count(rest, `"option_changed"`) != 1 {
		t.Fatalf("first %q, then %q", first, rest)
	}
}

//go:noinline
func leakOne(t *testing.T, pool *slabby.Slabby) slabby.SlabRef {
	ref, err := pool.Allocate()
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func TestStacksNameWhoAllocated(t *testing.T) {
	pool := newPool(t, 16, slabby.WithName("orders"), slabby.WithDebug())
	for range 3 {
		defer leakOne(t, pool).Release()
	}
	var answer struct {
		Pools []struct {
			Stacks struct {
				Recorded, Complete bool
				Examined           int
				Groups             []struct {
					Count  int
					Frames []string
				}
			}
		}
	}
	ask(t, slabbyhttp.New(slabbyhttp.WithPools(pool)), "/stats?stacks=1", &answer)
	stacks := answer.Pools[0].Stacks
	if !stacks.Recorded || !stacks.Complete || stacks.Examined != 3 || stacks.Groups[0].Count != 3 {
		t.Fatalf("%+v", stacks)
	}
	if first := stacks.Groups[0].Frames[0]; !strings.Contains(first, "leakOne") ||
		!strings.Contains(first, "slabbyhttp_test.go:") {
		t.Fatalf("the innermost frame is %q", first)
	}
}

func TestEventsArriveAsTheyHappen(t *testing.T) {
	pool := newPool(t, 4, slabby.WithName("orders"))
	address, stop := serveOn(t, slabbyhttp.WithPools(pool))
	reply, err := http.Get("http://" + address + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	lines := bufio.NewScanner(reply.Body)
	awaitLine(t, lines, `"code":"opened"`)
	if err := pool.SetOptionText("secure", "on"); err != nil {
		t.Fatal(err)
	}
	awaitLine(t, lines, `"code":"option_changed"`)
	// The end of the server is the end of the stream.
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
	}
}

func awaitLine(t *testing.T, lines *bufio.Scanner, part string) {
	t.Helper()
	for lines.Scan() {
		if strings.Contains(lines.Text(), part) {
			return
		}
	}
	t.Fatalf("the stream ended without %s: %v", part, lines.Err())
}

func TestStreamsAreLimited(t *testing.T) {
	address, _ := serveOn(t, slabbyhttp.WithPools(newPool(t, 4)))
	for range 16 {
		reply, err := http.Get("http://" + address + "/events")
		if err != nil {
			t.Fatal(err)
		}
		defer reply.Body.Close()
	}
	reply, err := http.Get("http://" + address + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	if reply.StatusCode != 503 || reply.Header.Get("Retry-After") == "" {
		t.Fatalf("the 17th stream: %s", reply.Status)
	}
}

// raw sends bytes to a server and returns the status line of what comes back, if anything does.
func raw(t *testing.T, address, text string) string {
	t.Helper()
	connection, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	_ = connection.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(connection, text); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(connection)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	line, _, _ := strings.Cut(string(answer), "\r\n")
	return line
}

func TestRawRequests(t *testing.T) {
	pool := newPool(t, 4, slabby.WithName("orders"))
	address, _ := serveOn(t, slabbyhttp.WithPools(pool), slabbyhttp.WithToken("t"))
	const put = "PUT /pools/orders/options/secure HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" +
		"Authorization: Bearer t\r\nContent-Type: text/plain\r\n"
	for text, status := range map[string]string{
		"GET /livez HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n": "421",
		"GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n":                       "400",
		"nonsense\r\n\r\n": "400",
		"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("x", 40_000) + "\r\n\r\n": "431",
		put + "Transfer-Encoding: chunked\r\n\r\n2\r\non\r\n0\r\n\r\n":                             "411",
		put + "Content-Length: 1000000000000\r\n\r\n":                                              "413",
		put + "Content-Length: 5\r\n\r\non":                                                        "408", // never more
	} {
		if line := raw(t, address, text); !strings.HasPrefix(line, "HTTP/1.1 "+status) {
			t.Errorf("%.60q: %q, wanted %s", text, line, status)
		}
	}
	if secure, _ := pool.GetOptionText("secure"); secure != "off" {
		t.Error("a refused request changed an option")
	}
}

func TestRequestsWithoutHost(t *testing.T) {
	address, _ := serveOn(t, slabbyhttp.WithPools(newPool(t, 4)))
	for text, status := range map[string]string{
		"GET /livez HTTP/1.0\r\n\r\n":                               "200",
		"GET http://localhost/livez HTTP/1.0\r\n\r\n":               "200",
		"GET /livez HTTP/1.0\r\nHost: evil.example\r\n\r\n":         "421",
		"GET http://evil.example/livez HTTP/1.0\r\n\r\n":            "421",
		"GET /livez HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n": "421",
	} {
		if line := raw(t, address, text); !strings.Contains(line, " "+status+" ") {
			t.Errorf("%q: %q, wanted %s", text, line, status)
		}
	}
}

func TestATokenOfAnyTextAuthorises(t *testing.T) {
	pool := newPool(t, 4, slabby.WithName("orders"))
	for _, token := range []string{"schlüssel", "voilà", "鍵\u3000"} {
		handler := slabbyhttp.New(slabbyhttp.WithPools(pool), slabbyhttp.WithToken(token))
		request := httptest.NewRequest(http.MethodPut, "/pools/orders/options/secure", strings.NewReader("on"))
		request.Header.Set("Authorization", "Bearer "+token)
		request.Header.Set("Content-Type", "text/plain")
		recorder := httptest.NewRecorder()
		if handler.ServeHTTP(recorder, request); recorder.Code != http.StatusOK {
			t.Errorf("%q: %d", token, recorder.Code)
		}
	}
}

func TestAddressWithoutHostIsLoopback(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := slabbyhttp.ListenAndServe(ctx, ":0"); err != nil {
		t.Fatal(err)
	}
	if err := slabbyhttp.ListenAndServe(ctx, "nonsense"); err == nil {
		t.Fatal("no error for an address without a port")
	}
}

// FuzzRequest sends whatever it likes to a handler with a token: each answer is well-formed, and only a
// request with the token changes anything.
func FuzzRequest(f *testing.F) {
	pool := newPool(f, 8, slabby.WithName("orders"))
	handler := slabbyhttp.New(slabbyhttp.WithPools(pool), slabbyhttp.WithToken("right"))
	f.Add("GET", "/stats", "stacks=1", "", "", "", []byte(nil))
	f.Add("PUT", "/pools/orders/options/secure", "", "Bearer right", "text/plain", "", []byte("on"))
	f.Add("PUT", "/pools/orders/options/secure", "", "Bearer wrong", "text/plain", "", []byte("off"))
	f.Add("PUT", "/pools/orders/options/max_alloc_latency", "", "Bearer wrong", "text/plain", "", []byte("1ms"))
	f.Add("GET", "/events", "follow=0", "", "", "0;orders=1", []byte("x"))
	f.Fuzz(func(t *testing.T, method, path, query, authorization, kind, last string, body []byte) {
		before, _ := pool.GetOptionText("secure")
		request := &http.Request{Method: method, URL: &url.URL{Path: path, RawQuery: query}, Host: "any",
			Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{},
			Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body))}
		request.Header.Set("Authorization", authorization)
		request.Header.Set("Content-Type", kind)
		request.Header.Set("Last-Event-ID", last)
		// A stream that follows would not end.
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, request.WithContext(ctx))
		checkAnswer(t, recorder)
		if after, _ := pool.GetOptionText("secure"); after != before && !strings.Contains(authorization, "right") {
			t.Fatalf("changed without the token: %q", authorization)
		}
	})
}

func checkAnswer(t *testing.T, recorder *httptest.ResponseRecorder) {
	t.Helper()
	kind, body := recorder.Header().Get("Content-Type"), recorder.Body.Bytes()
	if recorder.Code >= 500 && recorder.Code != 503 {
		t.Fatalf("%d: %s", recorder.Code, body)
	}
	if strings.HasSuffix(kind, "json") {
		var answer map[string]any
		if err := json.Unmarshal(body, &answer); err != nil {
			t.Fatalf("%v in %q", err, body)
		}
		if kind == "application/problem+json" && fmt.Sprint(answer["status"]) != fmt.Sprint(recorder.Code) {
			t.Fatalf("code %d, %s", recorder.Code, body)
		}
	} else if recorder.Code >= 400 {
		t.Fatalf("%d as %s", recorder.Code, kind)
	}
}

// Guards: a handler that is mounted without its slash leads to itself, whatever the client asks for.
func TestRedirectStaysOnThisSite(t *testing.T) {
	for target, want := range map[string]string{
		"/bare":                         "http://example.com/bare/",
		"/bare?x=1":                     "http://example.com/bare/?x=1",
		"/bare?x=/https:evil.com":       "http://example.com/bare/?x=/https:evil.com",
		"/bare?/https:evil.com":         "http://example.com/bare/?/https:evil.com",
		"/bare?//evil.com":              "http://example.com/bare/?//evil.com",
		"http://example.com/bare?a=b/c": "http://example.com/bare/?a=b/c",
		"/x/https:evil.com":             "http://example.com/x/https:evil.com/",
		"/x//evil.com":                  "http://example.com/x//evil.com/",
		`/x/\evil.com`:                  "http://example.com/x/%5Cevil.com/",
		"/x/":                           "http://example.com/x/",
	} {
		request := httptest.NewRequest(http.MethodGet, target, nil)
		asked := *request.URL
		request.URL.Path = ""
		recorder := httptest.NewRecorder()
		slabbyhttp.New().ServeHTTP(recorder, request)
		led, err := asked.Parse(recorder.Header().Get("Location"))
		if err != nil || recorder.Code != http.StatusPermanentRedirect {
			t.Fatalf("%s: %d, %v", target, recorder.Code, err)
		}
		led.Scheme, led.Host = cmp.Or(led.Scheme, "http"), cmp.Or(led.Host, "example.com")
		if led.String() != want {
			t.Errorf("%s leads to %s (Location %q), want %s", target, led, recorder.Header().Get("Location"), want)
		}
	}
}
