// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// client sends one request after the other on one connection, checks the whole of each response, and allocates
// nothing meanwhile, so that what is counted is the proxy's and its backend's.
type client struct {
	connection net.Conn
	reader     *bufio.Reader
	requests   [][]byte
	answers    [][]byte
	body       []byte
	asked      int
	times      []time.Duration
}

func newClient(address string, answers [][]byte) (*client, error) {
	connection, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	c := &client{connection: connection, reader: bufio.NewReaderSize(connection, 4<<10), answers: answers,
		body: make([]byte, len(answers[0]))}
	for at := range answers {
		c.requests = append(c.requests, fmt.Appendf(nil, "GET /%d HTTP/1.1\r\nHost: %s\r\n\r\n", at, address))
	}
	return c, nil
}

// ask sends so many requests, for one body after the other.
func (c *client) ask(requests int) error {
	c.times = c.times[:0]
	for range requests {
		at := c.asked % len(c.requests)
		c.asked++
		started := time.Now()
		if err := c.exchange(c.requests[at], c.answers[at]); err != nil {
			return fmt.Errorf("request %d: %w", c.asked, err)
		}
		c.times = append(c.times, time.Since(started))
	}
	return nil
}

func (c *client) exchange(request, answer []byte) error {
	if _, err := c.connection.Write(request); err != nil {
		return err
	}
	length, err := c.head()
	if err != nil {
		return err
	}
	if length != len(answer) {
		return fmt.Errorf("a body of %d bytes in place of %d", length, len(answer))
	}
	if _, err := io.ReadFull(c.reader, c.body); err != nil {
		return err
	}
	if !bytes.Equal(c.body, answer) {
		return fmt.Errorf("a body with bytes of another one")
	}
	return nil
}

// head reads a response up to its body, and refuses every status but 200.
func (c *client) head() (length int, err error) {
	line, err := c.reader.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if !bytes.Equal(line, []byte("HTTP/1.1 200 OK\r\n")) {
		return 0, fmt.Errorf("the response is %q", line)
	}
	length = -1
	for {
		line, err = c.reader.ReadSlice('\n')
		if err != nil || len(line) <= 2 {
			return length, err
		}
		if value, found := bytes.CutPrefix(line, []byte("Content-Length: ")); found {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return 0, err
			}
		}
	}
}
