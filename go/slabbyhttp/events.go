// SPDX-License-Identifier: GPL-3.0-or-later

package slabbyhttp

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	slabby "github.com/slabby/slabby/go"
)

const (
	// How often the rings of events are read, and how often a quiet stream says that it is alive.
	eventInterval     = 250 * time.Millisecond
	heartbeatInterval = 10 * time.Second
	// If a client takes nothing for this long, its stream ends.
	writeTimeout = 10 * time.Second
)

// eventLine is the data of one server-sent event. Ref is text: browsers round large numbers.
type eventLine struct {
	Pool       string `json:"pool"`
	Sequence   uint64 `json:"sequence"`
	TimeNS     int64  `json:"time_ns"`
	Level      string `json:"level"`
	Code       string `json:"code"`
	Ref        string `json:"ref"`
	Value      int64  `json:"value"`
	Suppressed uint32 `json:"suppressed"`
	Text       string `json:"text"`
}

type lostLine struct {
	Pool string `json:"pool"`
	Lost uint64 `json:"lost"`
}

func (h *handler) serveEvents(w http.ResponseWriter, r *http.Request, query map[string]string) *problem {
	follow, refused := flag(query, "follow", true)
	if refused != nil {
		return refused
	}
	stream := &eventStream{handler: h, control: http.NewResponseController(w), w: w}
	if stream.only, stream.one = query["pool"]; stream.one && !h.use(stream.only, func(*slabby.Slabby) {}) {
		return noPool(stream.only)
	}
	if refused = stream.resume(r.Header.Get("Last-Event-ID")); refused != nil {
		return refused
	}
	if follow {
		if h.streams.Add(1) > streamsLimit {
			h.streams.Add(-1)
			refused := refusef(http.StatusServiceUnavailable,
				"%d streams of events are open; close one, or ask with follow=0", streamsLimit)
			refused.header = map[string]string{"Retry-After": "5"}
			return refused
		}
		defer h.streams.Add(-1)
	}
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	stream.run(r.Context(), follow)
	return nil
}

type eventStream struct {
	handler *handler
	w       http.ResponseWriter
	control *http.ResponseController
	only    string
	one     bool
	// Where each pool's next event is, by pool, and the pools in the order in which they were first seen.
	positions map[string]position
	order     []string
}

// position is the sequence of a pool's next event, and what to know the event before it by: a pool that has the label
// of an earlier one numbers its events from 0 on too.
type position struct {
	next, mark uint64
	marked     bool
}

func markOf(event *slabby.Event) uint64 {
	return uint64(event.Time.UnixNano()) % 1_000_000
}

// run ends when the client ends, or after the present events.
func (s *eventStream) run(ctx context.Context, follow bool) {
	ticker := time.NewTicker(eventInterval)
	defer ticker.Stop()
	last := time.Now()
	text := []byte("retry: 2000\n\n")
	for {
		text = append(text, s.next()...)
		if len(text) == 0 && follow && time.Since(last) > heartbeatInterval {
			text = []byte(": no event\n\n")
		}
		if len(text) > 0 && !s.send(text) {
			return
		}
		if len(text) > 0 {
			last = time.Now()
		}
		text = nil
		if !follow {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (s *eventStream) send(text []byte) bool {
	// Not every server supports this; then its own limits apply.
	_ = s.control.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := s.w.Write(text); err != nil {
		return false
	}
	_ = s.control.Flush()
	return true
}

// next has the events since the last call.
func (s *eventStream) next() []byte {
	var text bytes.Buffer
	seen := map[string]bool{}
	s.handler.pools(func(label string, pool *slabby.Slabby) {
		if s.one && label != s.only {
			return
		}
		seen[label] = true
		for s.read(&text, label, pool) {
		}
	})
	// Nothing is stored about a pool that no longer exists.
	s.order = slices.DeleteFunc(s.order, func(label string) bool { return !seen[label] })
	maps.DeleteFunc(s.positions, func(label string, _ position) bool { return !seen[label] })
	return text.Bytes()
}

// read writes some events of a pool; false after the last.
func (s *eventStream) read(text *bytes.Buffer, label string, pool *slabby.Slabby) bool {
	at := s.positions[label]
	from := at.next
	if at.marked {
		from--
	}
	events, _, lost, err := pool.ReadEvents(from)
	if err != nil || at.marked && lost == 0 && (len(events) == 0 || markOf(&events[0]) != at.mark) {
		// A new pool with this name was made: its numbers begin at 0.
		s.move(label, position{})
		return at.next != 0 && !isClosed(err)
	}
	if at.marked && lost == 0 {
		events = events[1:]
	} else if at.marked {
		lost--
	}
	if lost > 0 {
		writeEvent(text, "event: lost\n", lostLine{label, lost})
	}
	for i := range events {
		s.move(label, position{events[i].Sequence + 1, markOf(&events[i]), true})
		writeEvent(text, "id: "+s.id()+"\n", lineOf(label, &events[i]))
	}
	return len(events) > 0
}

func (s *eventStream) move(label string, to position) {
	if _, known := s.positions[label]; !known {
		s.order = append(s.order, label)
	}
	s.positions[label] = to
}

func isClosed(err error) bool {
	status, _ := slabby.StatusOf(err)
	return status == slabby.StatusClosed
}

func lineOf(pool string, event *slabby.Event) eventLine {
	return eventLine{pool, event.Sequence, event.Time.UnixNano(), event.Level.String(), event.Code.String(),
		strconv.FormatUint(event.Ref, 10), event.Value, event.Suppressed, strings.ToValidUTF8(event.Text, "\ufffd")}
}

func writeEvent(text *bytes.Buffer, head string, line any) {
	text.WriteString(head + "data: ")
	encoder := json.NewEncoder(text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(line); err != nil { // ends with a newline
		panic(err)
	}
	text.WriteByte('\n')
}

// id names the place in all rings: "instance;orders=17.483920;bodies=4.90210". It is no longer than resume takes: of
// pools for which it has no room, a client that resumes gets the events again.
func (s *eventStream) id() string {
	text := []byte(instance())
	for _, label := range s.order {
		at := s.positions[label]
		if at.next == 0 {
			continue
		}
		part := fmt.Appendf(nil, ";%s=%d", label, at.next)
		if at.marked {
			part = fmt.Appendf(part, ".%d", at.mark)
		}
		if len(text)+len(part) > targetLimit {
			break
		}
		text = append(text, part...)
	}
	return string(text)
}

// resume goes on behind the event of an id. That of another run of the program starts from the beginning.
func (s *eventStream) resume(id string) *problem {
	s.positions = map[string]position{}
	if id == "" {
		return nil
	}
	if len(id) > targetLimit {
		return refusef(http.StatusBadRequest, "Last-Event-ID has %d bytes; at most %d are taken", len(id), targetLimit)
	}
	parts := strings.Split(id, ";")
	for _, part := range parts[1:] {
		label, numbers, found := strings.Cut(part, "=")
		at, valid := positionOf(numbers)
		if !found || !valid {
			return refusef(http.StatusBadRequest, "Last-Event-ID has the part %q, which no event carries", printable(part))
		}
		s.move(label, at)
	}
	if parts[0] != instance() {
		s.order, s.positions = nil, map[string]position{}
	}
	return nil
}

// positionOf reads "17.483920", or "17" alone.
func positionOf(numbers string) (at position, valid bool) {
	next, mark, marked := strings.Cut(numbers, ".")
	var err error
	if at.next, err = strconv.ParseUint(next, 10, 63); err != nil {
		return at, false
	}
	if marked {
		at.mark, err = strconv.ParseUint(mark, 10, 63)
	}
	at.marked = marked && at.next != 0
	return at, err == nil
}
