// SPDX-License-Identifier: GPL-3.0-or-later

package slabbyhttp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	slabby "github.com/slabby/slabby/go"
)

// problem is a refused request, as RFC 9457 writes it. The last four are what the core said.
type problem struct {
	Type    string `json:"type"`
	Title   string `json:"title"`
	Status  int    `json:"status"`
	Detail  string `json:"detail"`
	Refusal string `json:"refusal,omitempty"`
	Value   *int64 `json:"value,omitempty"`
	Minimum *int64 `json:"minimum,omitempty"`
	Maximum *int64 `json:"maximum,omitempty"`

	header map[string]string
}

func refuse(status int, detail string) *problem {
	return &problem{Type: "about:blank", Title: titles[status], Status: status, Detail: detail}
}

func refusef(status int, format string, arguments ...any) *problem {
	return refuse(status, fmt.Sprintf(format, arguments...))
}

// refusedByCore is what a change of an option was refused with.
func refusedByCore(err error) *problem {
	var known *slabby.Error
	if !errors.As(err, &known) {
		return refuse(http.StatusInternalServerError, err.Error())
	}
	status, listed := refusals[known.Status]
	if !listed {
		status = http.StatusInternalServerError
	}
	if known.Status == slabby.StatusInvalidOption && known.Option == 0 {
		status = http.StatusNotFound
	}
	refused := refuse(status, known.Text)
	refused.Refusal = known.Status.String()
	if known.Minimum != 0 || known.Maximum != 0 {
		refused.Value, refused.Minimum, refused.Maximum = &known.Value, &known.Minimum, &known.Maximum
	}
	return refused
}

func (p *problem) write(w http.ResponseWriter) {
	for name, value := range p.header {
		w.Header().Set(name, value)
	}
	w.Header().Set("Content-Type", "application/problem+json")
	writeJSON(w, p.Status, p)
}

// writeJSON writes a value whose types JSON can always hold.
func writeJSON(w http.ResponseWriter, status int, value any) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		panic(err)
	}
	w.Header().Set("Content-Length", strconv.Itoa(text.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(text.Bytes())
}
