package client

import (
	"bytes"
	"errors"
	"strconv"
)

// Answers is told of HTTP answers, on the loop's thread.
type Answers interface {
	Connected(c *Conn)
	Answered(c *Conn, status int)
	Gone(c *Conn, err error)
}

// HTTP is HTTP/1.1 on a connection that stays open: requests are written whole, answers have a Content-Length and are not looked
// into.
type HTTP struct{ Answers Answers }

// Opened hands on.
func (h HTTP) Opened(c *Conn) {
	c.Ready = true
	h.Answers.Connected(c)
}

// Closed hands on.
func (h HTTP) Closed(c *Conn, err error) { h.Answers.Gone(c, err) }

// Received reads whole answers.
func (h HTTP) Received(c *Conn, b []byte) (used int) {
	for used < len(b) && !c.Gone() {
		status, size, err := answer(b[used:])
		if err != nil {
			c.Fail(err)
			return len(b)
		}
		if size == 0 || size > len(b)-used {
			break
		}
		used += size
		h.Answers.Answered(c, status)
	}
	return used
}

// answer gives the status of the answer at the start of b and its size with the body; size 0 = its head is not whole.
func answer(b []byte) (status, size int, err error) {
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		if len(b) > maxHead {
			return 0, 0, errors.New("an HTTP answer's head has no end")
		}
		return 0, 0, nil
	}
	head := b[:end]
	line, rest, _ := bytes.Cut(head, []byte("\r\n"))
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return 0, 0, errors.New("not an HTTP/1.1 answer")
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, 0, errors.New("an HTTP answer's status is not a number")
	}
	for len(rest) > 0 {
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		name, value, _ := bytes.Cut(line, []byte(":"))
		if !bytes.EqualFold(name, []byte("Content-Length")) {
			continue
		}
		n, err := strconv.Atoi(string(bytes.TrimSpace(value)))
		if err != nil || n < 0 || n > maxFrame {
			return 0, 0, errors.New("an HTTP answer's Content-Length is not one")
		}
		return status, end + 4 + n, nil
	}
	return 0, 0, errors.New("an HTTP answer has no Content-Length")
}
