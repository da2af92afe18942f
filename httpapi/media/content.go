package media

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tolkflip/tolkflip/httpapi"
	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// policy lets a file that is opened by itself show what it is and run nothing.
const policy = "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"

// content sends a file, or a range of it, to who has a link or a token of one who may read it.
func (s *Service) content(r *httpapi.Request) error {
	if !s.reading.TryAcquire(1) {
		return proto.Fail(proto.Busy, "Too many downloads at once, please try again")
	}
	freed := false
	free := func() {
		if !freed {
			freed = true
			s.reading.Release(1)
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.cfg.Timeout)
	defer cancel()
	row, err := s.readable(ctx, r)
	if err != nil {
		free()
		return err
	}
	if err := s.send(ctx, r, row, free); err != nil {
		free()
		if errors.Is(err, store.ErrNotFound) {
			return errNoMedia
		}
		return err
	}
	return nil
}

// readable gives the record of the file that is asked for, if the link or the caller is good.
func (s *Service) readable(ctx context.Context, r *httpapi.Request) (store.Media, error) {
	v, err := id.Parse(r.Param("mediaId"))
	if err != nil {
		return store.Media{}, errNoMedia
	}
	m := id.Media{ID: v}
	if signature := r.Query("signature"); signature != "" {
		if !s.links.good(m, r.Query("expires"), signature) {
			s.metrics.badLinks.Inc()
			return store.Media{}, proto.Fail(proto.Forbidden, "This link is not valid any more")
		}
		row, err := s.records.Get(ctx, m)
		if errors.Is(err, store.ErrNotFound) {
			return store.Media{}, errNoMedia
		}
		return row, err
	}
	if r.Caller.User.IsZero() {
		return store.Media{}, proto.Fail(proto.Unauthenticated, "No token provided")
	}
	in := getIn{}
	for name, to := range map[string]*id.ID{
		"messageId": &in.Message.ID, "message_id": &in.MessageID.ID, "threadId": &in.Thread.ID, "thread_id": &in.ThreadID.ID,
	} {
		if text := r.Query(name); text != "" {
			if *to, err = id.Parse(text); err != nil {
				return store.Media{}, proto.BadField(name, name+" is invalid")
			}
		}
	}
	if err := in.FromRequest(r); err != nil {
		return store.Media{}, err
	}
	return s.record(ctx, m, r.Caller.User, claim{in.Message, in.Thread})
}

// send answers with the content. It calls free once the last byte has gone, or never where it fails.
func (s *Service) send(ctx context.Context, r *httpapi.Request, row store.Media, free func()) error {
	key, size, kind, tag := row.Key, row.Size, octets, row.ID.String()
	inline := inlineType(row.Type)
	if inline {
		kind = row.Type
	}
	name := row.Name
	if r.Query("thumbnail") == "true" && row.Thumbnail != "" {
		o, err := s.blobs.Stat(ctx, row.Thumbnail)
		if err != nil {
			return err
		}
		key, size, kind, tag, inline, name = row.Thumbnail, o.Size, thumbType, tag+"-thumbnail", true, "thumbnail.jpg"
	}
	if r.Query("download") != "" {
		inline = false
	}
	tag = `"` + tag + `"`
	head := func() { s.head(r, row, tag, disposition(inline, name)) } // not above an error
	if matches(r.Header("If-None-Match"), tag) {
		free()
		head()
		r.ReplyEmpty(http.StatusNotModified)
		return nil
	}
	status, from, n, within := http.StatusOK, int64(0), size, ""
	if want := r.Header("Range"); want != "" && !r.IsHead() && fresh(r.Header("If-Range"), tag, row.Created) {
		var verdict rangeVerdict
		if from, n, verdict = parseRange(want, size); verdict == rangeOutside {
			free()
			r.SetHeader("Content-Range", "bytes */"+strconv.FormatInt(size, 10))
			return httpapi.Refuse(http.StatusRequestedRangeNotSatisfiable, proto.Invalid, "Range not satisfiable")
		} else if verdict == rangeGood {
			status = http.StatusPartialContent
			within = "bytes " + strconv.FormatInt(from, 10) + "-" + strconv.FormatInt(from+n-1, 10) + "/" + strconv.FormatInt(size, 10)
		}
	}
	if r.IsHead() {
		free()
		head()
		r.ReplyLength(status, kind, n)
		return nil
	}
	// The content outlives the handler: it ends with the server, or at the kit's patience.
	body, _, err := s.blobs.Open(r.Context(), key, from, n)
	if err != nil {
		return err
	}
	head()
	if within != "" {
		r.SetHeader("Content-Range", within)
	}
	s.metrics.downloads.Inc()
	r.ReplyStream(status, kind, &freeing{body, free}, n)
	return nil
}

// head sets what stands above every answer about a file's content.
func (s *Service) head(r *httpapi.Request, row store.Media, tag, disposition string) {
	r.SetHeader("Content-Security-Policy", policy)
	r.SetHeader("Cross-Origin-Resource-Policy", "cross-origin") // web clients of other origins show pictures; the link is what admits
	r.SetHeader("Cache-Control", "private, max-age=86400, immutable")
	r.SetHeader("Content-Disposition", disposition)
	r.SetHeader("Accept-Ranges", "bytes")
	r.SetHeader("ETag", tag)
	r.SetHeader("Last-Modified", time.UnixMilli(row.Created).UTC().Format(http.TimeFormat))
}

// freeing gives a place back when the body was sent, or could not be.
type freeing struct {
	io.ReadCloser
	free func()
}

func (f *freeing) Close() error {
	f.free()
	return f.ReadCloser.Close()
}

// matches compares an If-None-Match weakly (RFC 9110 section 13.1.2).
func matches(header, tag string) bool {
	for one := range strings.SplitSeq(header, ",") {
		one = strings.TrimPrefix(strings.TrimSpace(one), "W/")
		if one == tag || one == "*" {
			return true
		}
	}
	return false
}

// fresh reports whether a range may be answered under an If-Range (RFC 9110 section 13.1.5): none, our tag,
// compared strongly, or our date to the second.
func fresh(header, tag string, created int64) bool {
	if header == "" || header == tag {
		return true
	}
	at, err := http.ParseTime(header)
	return err == nil && at.Unix() == created/1000
}

// rangeVerdict is what a Range header comes to.
type rangeVerdict uint8

const (
	rangeIgnored rangeVerdict = iota // another unit, several ranges or no syntax: the whole file (RFC 9110 section 14.2)
	rangeGood
	rangeOutside // no byte of the file
)

// parseRange reads a Range header of one range of bytes, for a file of size bytes.
func parseRange(header string, size int64) (from, n int64, v rangeVerdict) {
	whole := func() (int64, int64, rangeVerdict) { return 0, size, rangeIgnored }
	spec, ok := strings.CutPrefix(header, "bytes=")
	if !ok || strings.Contains(spec, ",") {
		return whole()
	}
	first, last, ok := strings.Cut(strings.TrimSpace(spec), "-")
	if !ok {
		return whole()
	}
	if first == "" {
		tail, ok := number(last)
		switch {
		case !ok:
			return whole()
		case tail == 0, size == 0:
			return 0, 0, rangeOutside
		}
		n = min(tail, size)
		return size - n, n, rangeGood
	}
	from, ok = number(first)
	if !ok {
		return whole()
	}
	end := size - 1
	if last != "" {
		to, ok := number(last)
		if !ok || to < from {
			return whole()
		}
		end = min(to, end)
	}
	if from >= size {
		return 0, 0, rangeOutside
	}
	return from, end - from + 1, rangeGood
}

// number reads digits; what is beyond any file counts as its end.
func number(s string) (int64, bool) {
	if s == "" {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	v, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 1<<63 - 1, true
	}
	return v, true
}
