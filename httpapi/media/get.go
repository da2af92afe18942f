package media

import (
	"context"
	"errors"
	"time"

	"github.com/tolkflip/tolkflip/httpapi"
	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// place is how a client reached us: links lead back the same way.
type place struct{ origin, path string }

// described is a file as all clients read it: each finds its own spelling.
type described struct {
	Success     bool    `json:"success"`
	ID          string  `json:"mediaId"`
	URL         string  `json:"url"`
	Thumbnail   *string `json:"thumbnailUrl"`
	Mime        string  `json:"mimeType"`
	ContentType string  `json:"contentType"`
	Size        int64   `json:"size"`
	FileSize    int64   `json:"fileSize"`
	Name        string  `json:"fileName"`
	Width       int     `json:"width,omitempty"` // as it is shown, after rotation
	Height      int     `json:"height,omitempty"`
	Thread      *string `json:"threadId"`
	Uploaded    int64   `json:"uploadedAt"` // Unix milliseconds
	Expires     int64   `json:"expiresAt"`  // of the links; a new request gives new ones
}

// describe makes the reply about a file, with links that need no token.
func (s *Service) describe(ctx context.Context, row store.Media, at place, thumbnail bool) (described, error) {
	d := described{
		Success: true, ID: row.ID.String(), Mime: row.Type, ContentType: row.Type, Size: row.Size, FileSize: row.Size,
		Name: row.Name, Width: row.Width, Height: row.Height, Uploaded: row.Created, Expires: s.links.expires() * 1000,
	}
	if !row.Thread.IsZero() {
		t := row.Thread.String()
		d.Thread = &t
	}
	var err error
	if d.URL, err = s.link(ctx, row, at, false); err != nil {
		return described{}, err
	}
	if row.Thumbnail != "" {
		small, err := s.link(ctx, row, at, true)
		if err != nil {
			return described{}, err
		}
		d.Thumbnail = &small
		if thumbnail {
			d.URL = small
		}
	}
	return d, nil
}

// link is where the content of a file is read: at the store, where that has an address, or here.
func (s *Service) link(ctx context.Context, row store.Media, at place, thumbnail bool) (string, error) {
	key, attachment := row.Key, ""
	if thumbnail {
		key = row.Thumbnail
	} else if !inlineType(row.Type) {
		attachment = row.Name
	}
	left := time.Unix(s.links.expires(), 0).Sub(s.now())
	there, err := s.blobs.Signed(ctx, key, attachment, left)
	if err != nil || there != "" {
		return there, err
	}
	return address(at.origin, at.path, row.ID) + "?" + s.links.query(row.ID, thumbnail), nil
}

type getIn struct {
	ID        id.Media   `path:"mediaId" missing:"Media not found" json:"-"`
	Thumbnail string     `query:"thumbnail" json:"-"`
	Message   id.Message `query:"messageId" json:"-"`
	MessageID id.Message `query:"message_id" json:"-"`
	Thread    id.Thread  `query:"threadId" json:"-"`
	ThreadID  id.Thread  `query:"thread_id" json:"-"`

	at place
}

// FromRequest notes how the client came.
func (in *getIn) FromRequest(r *httpapi.Request) error {
	in.at = place{r.Origin(), r.Path()}
	if in.Message.IsZero() {
		in.Message = in.MessageID
	}
	if in.Thread.IsZero() {
		in.Thread = in.ThreadID
	}
	return nil
}

// get describes a file to one who may read it.
func (s *Service) get(ctx context.Context, c httpapi.Caller, in getIn) (described, error) {
	row, err := s.record(ctx, in.ID, c.User, claim{in.Message, in.Thread})
	if err != nil {
		return described{}, err
	}
	return s.describe(ctx, row, in.at, in.Thumbnail == "true")
}

type (
	removeIn struct {
		ID id.Media `path:"mediaId" missing:"Media not found" json:"-"`
	}
	removeOut struct {
		Success bool   `json:"success"`
		Message string `json:"message"`
	}
)

// remove deletes a file of the caller's. The record goes first: then nobody finds the file, whatever
// becomes of it.
func (s *Service) remove(ctx context.Context, c httpapi.Caller, in removeIn) (removeOut, error) {
	row, err := s.records.Get(ctx, in.ID)
	if err == nil && row.Owner != c.User {
		return removeOut{}, proto.Fail(proto.Forbidden, "Unauthorized")
	}
	if err == nil {
		row, err = s.records.Delete(ctx, in.ID)
	}
	if errors.Is(err, store.ErrNotFound) {
		return removeOut{}, errNoMedia
	}
	if err != nil {
		return removeOut{}, err
	}
	s.metrics.deleted.Inc()
	s.removeFiles(context.WithoutCancel(ctx), row)
	return removeOut{Success: true, Message: "Media deleted"}, nil
}
