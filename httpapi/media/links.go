package media

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strconv"
	"time"

	"github.com/tolkflip/tolkflip/proto/id"
)

// links are the signed addresses of files on this server.
type links struct {
	key  []byte
	life time.Duration
	now  func() time.Time
}

// steps is how many ends of links there are in the life of one: within a step a file has one link.
const steps = 8

// expires is when a link that is made now ends, in Unix seconds: at the latest after its life.
func (l links) expires() int64 {
	end := l.now().Add(l.life).Unix()
	if step := int64(l.life/time.Second) / steps; step >= 60 {
		end -= end % step
	}
	return end
}

// query is what makes an address of m a link.
func (l links) query(m id.Media, thumbnail bool) string {
	end := l.expires()
	q := "expires=" + strconv.FormatInt(end, 10) + "&signature=" + l.sign(m, end)
	if thumbnail {
		q += "&thumbnail=true"
	}
	return q
}

// good reports whether a link to m was made here and has not ended.
func (l links) good(m id.Media, expires, signature string) bool {
	end, err := strconv.ParseInt(expires, 10, 64)
	if err != nil || strconv.FormatInt(end, 10) != expires { // one spelling only
		return false
	}
	return hmac.Equal([]byte(signature), []byte(l.sign(m, end))) && l.now().Unix() < end
}

// sign is the same for a file and its thumbnail: who may see the one may see the other.
func (l links) sign(m id.Media, end int64) string {
	mac := hmac.New(sha256.New, l.key)
	mac.Write(m.ID[:])
	mac.Write([]byte(strconv.FormatInt(end, 10)))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// address is where a client that came by path finds the content of m: the gateway's paths begin with /api.
func address(origin, path string, m id.Media) string {
	if len(path) >= 5 && path[:5] == "/api/" {
		origin += "/api"
	}
	return origin + "/media/" + url.PathEscape(m.String()) + "/content"
}
