package storetest

import (
	"bytes"
	"testing"
	"time"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// newMessage makes a random id; a test's ids need no order.
func newMessage() id.Message { return id.Message{ID: id.NewGroup().ID} }

func directMessage(from, to id.User) store.Message {
	return store.Message{
		ID: newMessage(), Thread: id.Direct(from, to), Sender: from, Receiver: to,
		Sent: time.Now().UnixMilli(), ClientID: []byte("c-1"), Content: []byte("hello"), Language: []byte("en"),
	}
}

func groupMessage(g id.Thread, from id.User) store.Message {
	m := directMessage(from, from)
	m.Thread, m.Receiver = g, id.User{}
	return m
}

// fullMessage has something in every field.
func fullMessage(from, to id.User) store.Message {
	m := directMessage(from, to)
	m.Type = proto.Image
	m.Encrypted = []byte("c2VjcmV0")
	m.MediaURLs = [][]byte{[]byte("https://m/1.jpg"), []byte("https://m/2.jpg")}
	m.ReplyTo = newMessage()
	return m
}

// try appends m and waits for its outcome.
func try(log store.Log, m store.Message) *store.Entry {
	done := make(chan *store.Entry, 1)
	log.Append(&store.Entry{Message: m, Done: func(e *store.Entry) { done <- e }})
	return <-done
}

// send appends m, waits, and fails the test where it was not written for the first time.
func send(t testing.TB, log store.Log, m store.Message) *store.Entry {
	t.Helper()
	e := try(log, m)
	if e.Err != nil || e.Duplicate {
		t.Fatalf("append: %v, duplicate %v", e.Err, e.Duplicate)
	}
	return e
}

// equal compares messages, where nil and empty are alike.
func equal(a, b *store.Message) bool {
	return a.ID == b.ID && a.Thread == b.Thread && a.Seq == b.Seq && a.Sender == b.Sender && a.Receiver == b.Receiver &&
		a.Sent == b.Sent && bytes.Equal(a.ClientID, b.ClientID) && bytes.Equal(a.Language, b.Language) && store.SameBody(a, b)
}
