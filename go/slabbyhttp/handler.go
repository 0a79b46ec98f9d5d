// SPDX-License-Identifier: GPL-3.0-or-later

// Package slabbyhttp shows the pools of a process over HTTP: /livez, /readyz, /health, /stats,
// /metrics, /events and a live page at /. The answers are those of slabby.asgi and slabby.wsgi in Python;
// docs/endpoints.md describes them.
//
//	handler := slabbyhttp.New()
//	mux.Handle("/slabby/", http.StripPrefix("/slabby", handler))
//
// Nothing can be changed through it unless WithToken sets a token; then
// PUT /pools/NAME/options/OPTION changes an option of a running pool.
package slabbyhttp

import (
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"

	slabby "github.com/slabby/slabby/go"
)

// Option is one setting of a handler.
type Option func(*handler)

// WithPools limits what is shown to these pools. Without it every open pool of the process is shown,
// those of other languages too.
func WithPools(pools ...*slabby.Slabby) Option {
	return func(h *handler) { h.pools = these(pools) }
}

// WithToken allows a client that sends it ("Authorization: Bearer TOKEN") to change hot options. An empty
// token allows no change.
func WithToken(token string) Option {
	return func(h *handler) { h.token = token }
}

// WithExhaustion makes an exhausted pool a reason for /readyz to answer 503, as the parameter
// exhaustion=1 does for one request.
func WithExhaustion() Option {
	return func(h *handler) { h.exhaustion = true }
}

// WithHosts limits which names of this server requests may use in Host. It prevents a web site from
// reading a server on loopback through the site's own host name. Without it every name is accepted.
func WithHosts(names ...string) Option {
	return func(h *handler) { h.hosts = names }
}

type handler struct {
	pools      eachPool
	token      string
	exhaustion bool
	hosts      []string
	streams    atomic.Int32
}

// pathInfo is what the contract says of a path: the parameters it takes, and the type of its answer.
type pathInfo struct {
	query       []string
	contentType string
}

// New returns the handler. It may serve any number of requests at the same time.
func New(options ...Option) http.Handler {
	h := &handler{pools: openPools}
	for _, option := range options {
		option(h)
	}
	return h
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Security-Policy", "frame-ancestors 'none'")
	header.Set("Referrer-Policy", "no-referrer")
	if refused := h.serve(w, r); refused != nil {
		refused.write(w)
	}
}

// serve answers the request, or returns why not.
func (h *handler) serve(w http.ResponseWriter, r *http.Request) *problem {
	// Every browser sends Host. What sends none is a program, such as a health check that speaks HTTP/1.0.
	if (r.Host != "" || r.ProtoAtLeast(1, 1)) && !h.allowsHost(r.Host) {
		return refuse(http.StatusMisdirectedRequest,
			"this server does not answer to the name in Host; use an address of the machine itself")
	}
	if length := len(r.URL.RequestURI()); length > targetLimit {
		return refusef(http.StatusRequestURITooLong, "the target has %d bytes; at most %d are taken", length, targetLimit)
	}
	if r.URL.Path == "" {
		// The handler is mounted without a final slash, where the page's relative links would not work.
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Location", withSlash(r))
		w.WriteHeader(http.StatusPermanentRedirect)
		return nil
	}
	info, known := paths[r.URL.Path]
	if !known {
		return h.serveOption(w, r)
	}
	if refused := allowMethods(r, http.MethodGet, http.MethodHead); refused != nil {
		return refused
	}
	query, refused := parseQuery(r.URL.RawQuery, info.query)
	if refused != nil {
		return refused
	}
	w.Header().Set("Content-Type", info.contentType)
	return h.servePath(w, r, query)
}

// withSlash is the request's own path with a final slash, and its query behind it. It is relative and names the
// last element alone, since what comes before differs behind a proxy. "./" in front keeps an element with a
// colon from being read as a scheme, and an empty one as another host.
func withSlash(r *http.Request) string {
	var element, query string
	if target, err := url.ParseRequestURI(r.RequestURI); err == nil {
		path := target.EscapedPath()
		element, query = path[strings.LastIndexByte(path, '/')+1:], target.RawQuery
	}
	location := element + "/"
	if element == "" {
		location = "./"
	} else if strings.Contains(element, ":") {
		location = "./" + location
	}
	if query != "" {
		location += "?" + query
	}
	return location
}

func (h *handler) servePath(w http.ResponseWriter, r *http.Request, query map[string]string) *problem {
	switch r.URL.Path {
	case "/":
		_, _ = w.Write(page)
	case "/livez":
		_, _ = w.Write([]byte("ok\n"))
	case "/readyz":
		return h.serveReady(w, query)
	case "/health":
		return h.serveHealth(w, query)
	case "/stats":
		return h.serveStats(w, query)
	case "/metrics":
		return h.serveMetrics(w, query)
	case "/events":
		return h.serveEvents(w, r, query)
	}
	return nil
}

func (h *handler) allowsHost(host string) bool {
	if h.hosts == nil {
		return true
	}
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.Trim(host, "[]")
	}
	for _, allowed := range h.hosts {
		if strings.EqualFold(name, allowed) {
			return true
		}
	}
	return false
}

func allowMethods(r *http.Request, methods ...string) *problem {
	for _, method := range methods {
		if r.Method == method {
			return nil
		}
	}
	allowed := strings.Join(methods, ", ")
	refused := refuse(http.StatusMethodNotAllowed, "this resource takes "+allowed)
	refused.header = map[string]string{"Allow": allowed}
	return refused
}
