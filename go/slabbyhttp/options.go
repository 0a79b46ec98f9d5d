// SPDX-License-Identifier: GPL-3.0-or-later

package slabbyhttp

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	slabby "github.com/slabby/slabby/go"
)

// bodyTimeout is how long the value of an option may take to arrive.
const bodyTimeout = 5 * time.Second

type optionAnswer struct {
	Pool   string `json:"pool"`
	Option string `json:"option"`
	Value  string `json:"value"`
}

// serveOption answers for /pools/NAME/options/OPTION; no other path is known here.
func (h *handler) serveOption(w http.ResponseWriter, r *http.Request) *problem {
	parts := strings.Split(r.URL.Path, "/")
	if len(parts) != 5 || parts[0] != "" || parts[1] != "pools" || parts[3] != "options" {
		return refuse(http.StatusNotFound, "no such resource; there are: "+
			"/, /livez, /readyz, /health, /stats, /metrics, /events, /pools/NAME/options/OPTION")
	}
	if refused := allowMethods(r, http.MethodGet, http.MethodHead, http.MethodPut); refused != nil {
		return refused
	}
	if _, refused := parseQuery(r.URL.RawQuery, nil); refused != nil {
		return refused
	}
	if r.Method == http.MethodPut {
		if refused := h.authorize(r); refused != nil {
			return refused
		}
	}
	option := parts[4]
	var refused *problem
	if !h.use(parts[2], func(pool *slabby.Slabby) { refused = serveOptionOf(w, r, parts[2], pool, option) }) {
		return noPool(parts[2])
	}
	return refused
}

func serveOptionOf(w http.ResponseWriter, r *http.Request, label string, pool *slabby.Slabby, option string) *problem {
	if !slices.Contains(optionNames, option) {
		return refusef(http.StatusNotFound, "no option %q; /stats lists the options of each pool", printable(option))
	}
	if r.Method == http.MethodPut {
		if refused := change(w, r, pool, option); refused != nil {
			return refused
		}
	}
	value, err := pool.GetOptionText(option)
	if err != nil {
		return refusedByCore(err)
	}
	w.Header().Set("Content-Type", "application/json")
	writeJSON(w, http.StatusOK, optionAnswer{label, option, value})
	return nil
}

func (h *handler) authorize(r *http.Request) *problem {
	if h.token == "" {
		return refuse(http.StatusForbidden, "this server is read-only; give it a token to allow changes")
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	// Digests have one length: the comparison takes the same time for every token.
	given, wanted := sha256.Sum256([]byte(strings.Trim(token, " \t"))), sha256.Sum256([]byte(h.token))
	if strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(given[:], wanted[:]) == 1 {
		return nil
	}
	refused := refuse(http.StatusUnauthorized,
		"a change needs the header Authorization: Bearer TOKEN with the server's token")
	refused.header = map[string]string{"WWW-Authenticate": `Bearer realm="slabby"`}
	return refused
}

// change sets an option to the text in the body.
func change(w http.ResponseWriter, r *http.Request, pool *slabby.Slabby, option string) *problem {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "text/plain" {
		return refuse(http.StatusUnsupportedMediaType, "send the value as text, with the header Content-Type: text/plain")
	}
	switch {
	case r.ContentLength < 0:
		return refuse(http.StatusLengthRequired, "send the value with its Content-Length")
	case r.ContentLength > valueLimit:
		return refusef(http.StatusRequestEntityTooLarge, "the value has %d bytes; at most %d are taken",
			r.ContentLength, valueLimit)
	}
	value, refused := readValue(w, r)
	if refused != nil {
		return refused
	}
	if err := pool.SetOptionText(option, value); err != nil {
		return refusedByCore(err)
	}
	return nil
}

func readValue(w http.ResponseWriter, r *http.Request) (string, *problem) {
	// Not every server supports this; then its own limits apply.
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(bodyTimeout))
	body := make([]byte, r.ContentLength)
	_, err := io.ReadFull(r.Body, body)
	_ = control.SetReadDeadline(time.Time{})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		w.Header().Set("Connection", "close")
		return "", refusef(http.StatusRequestTimeout, "the value did not arrive within %d s", int(bodyTimeout.Seconds()))
	}
	if err != nil {
		return "", refuse(http.StatusBadRequest, "the value is shorter than its Content-Length")
	}
	value := strings.TrimRight(string(body), "\r\n")
	if !utf8.ValidString(value) || strings.ContainsFunc(value, isControl) {
		return "", refuse(http.StatusBadRequest,
			"the value has bytes that no option is written with; send text such as 250us, 80% or on")
	}
	return value, nil
}

func isControl(r rune) bool {
	return r < ' ' || r == 0x7f
}
