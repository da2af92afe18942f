package action

import (
	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
)

// defaultLimit is the size of a history page that does not say one, in messages.
const defaultLimit = 50

func (s *scratch) authenticate(r *proto.Request) *proto.Error {
	var err *proto.Error
	if r.Token, err = text("token", s.frame.Token, len(s.frame.Token)); err != nil {
		return err
	}
	if len(r.Token) == 0 {
		return proto.BadField("token", "token is required")
	}
	from := s.frame.Resume
	if absent(from) {
		return nil
	}
	if from[0] != '{' {
		return proto.BadField("resume", "resume must be an object")
	}
	if err = s.split(from, &s.resume); err != nil {
		return err
	}
	return s.readResume(r, s.resume.Threads, s.resume.All)
}

func (s *scratch) readResume(r *proto.Request, named, all raw) *proto.Error {
	r.Resume.Asked = true
	var err *proto.Error
	if r.Resume.All, err = boolean("all", all, false); err != nil {
		return err
	}
	if absent(named) {
		if !r.Resume.All {
			return proto.BadField("threads", "threads is required unless all is true")
		}
		return nil
	}
	return s.threads(&r.Resume.Threads, named)
}

func (s *scratch) sendMessage(r *proto.Request) *proto.Error {
	f, d := &s.frame, &r.Draft
	if err := place(r, f); err != nil {
		return err
	}
	var err *proto.Error
	if d.Content, err = text("content", f.Content, proto.MaxContent); err != nil {
		return err
	}
	if d.Encrypted, err = text("encryptedContent", f.Encrypted, proto.MaxContent); err != nil {
		return err
	}
	if !isBase64(d.Encrypted) {
		return proto.BadField("encryptedContent", "encryptedContent must be base64")
	}
	if err = mediaURLs(&d.MediaURLs, f.Media); err != nil {
		return err
	}
	if len(d.Content) == 0 && len(d.Encrypted) == 0 && len(d.MediaURLs) == 0 {
		return proto.BadField("content", "content is required without mediaUrls and encryptedContent")
	}
	kind, err := text("messageType", f.Type, len(f.Type))
	if err != nil {
		return err
	}
	d.Type = proto.ParseMessageType(kind)
	if d.Language, err = text("originalLanguage", f.Language, proto.MaxLanguage); err != nil {
		return err
	}
	d.ReplyTo.ID, err = identifier("replyTo", f.ReplyTo)
	return err
}

// place reads where something goes: a thread, a person, or both.
func place(r *proto.Request, f *frame) *proto.Error {
	var err *proto.Error
	if r.Thread.ID, err = identifier("threadId", f.Thread); err != nil {
		return err
	}
	if r.Receiver.ID, err = identifier("receiverId", f.Receiver); err != nil {
		return err
	}
	if r.Thread.IsZero() && r.Receiver.IsZero() {
		return proto.BadField("threadId", "threadId or receiverId is required")
	}
	return nil
}

func (s *scratch) history(r *proto.Request) *proto.Error {
	f := &s.frame
	var err *proto.Error
	if r.Thread, err = thread(f); err != nil {
		return err
	}
	if r.Before, err = whole("before", f.Before, 0); err != nil {
		return err
	}
	limit, err := whole("limit", f.Limit, defaultLimit)
	if err != nil {
		return err
	}
	if limit < 1 || limit > proto.MaxHistory {
		return proto.BadField("limit", "limit must be from 1 to 100")
	}
	r.Limit = int(limit)
	return nil
}

// delivered needs a thread and a seq in it.
func (s *scratch) delivered(r *proto.Request) *proto.Error {
	var err *proto.Error
	if r.Thread, err = thread(&s.frame); err != nil {
		return err
	}
	if r.Seq, err = whole("seq", s.frame.Seq, 0); err != nil {
		return err
	}
	if absent(s.frame.Seq) {
		return proto.BadField("seq", "seq is required")
	}
	return nil
}

// readReceipt needs a message, which knows its thread, or a seq and the thread that it counts in.
func (s *scratch) readReceipt(r *proto.Request) *proto.Error {
	f := &s.frame
	var err *proto.Error
	if r.Message.ID, err = identifier("messageId", f.Message); err != nil {
		return err
	}
	if r.Thread.ID, err = identifier("threadId", f.Thread); err != nil {
		return err
	}
	if r.Seq, err = whole("seq", f.Seq, 0); err != nil {
		return err
	}
	switch {
	case !r.Message.IsZero():
		return nil
	case absent(f.Seq):
		return proto.BadField("seq", "seq or messageId is required")
	case r.Thread.IsZero():
		return proto.BadField("threadId", "threadId is required without messageId")
	}
	return nil
}

func (s *scratch) typing(r *proto.Request) *proto.Error {
	if err := place(r, &s.frame); err != nil {
		return err
	}
	var err *proto.Error
	r.IsTyping, err = boolean("isTyping", s.frame.IsTyping, true)
	return err
}

// thread reads the thread that an action cannot do without.
func thread(f *frame) (id.Thread, *proto.Error) {
	v, err := identifier("threadId", f.Thread)
	if err == nil && v.IsZero() {
		err = proto.BadField("threadId", "threadId is required")
	}
	return id.Thread{ID: v}, err
}
