package media

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/color/palette"
	"image/gif"
	"image/jpeg"
	"image/png"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tolkflip/tolkflip/proto/id"
)

// A picture of 2x2 pixels, red and green above, blue and white below, as WebP without and with loss.
var webps = map[string]string{ //nolint:gochecknoglobals // a table
	"lossless": "RIFF\x1e\x00\x00\x00WEBPVP8L\x11\x00\x00\x00\x2f\x01\x40\x00\x00\x07\x10\xfd\x8f\xfe\x07\x22\xa2\xff\x01\x00",
}

func TestThumbnails(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	translucent := image.NewNRGBA(image.Rect(0, 0, 600, 400)) // nothing but glass: white
	deep := image.NewNRGBA64(image.Rect(0, 0, 500, 500))
	for i := range deep.Pix {
		deep.Pix[i] = 0xff
	}
	grey := image.NewGray(image.Rect(0, 0, 1000, 10))
	for _, c := range []struct {
		name, body string
		w, h       int // of the picture
		tw, th     int // of the thumbnail
	}{
		{"a wide png", encoded(t, "png", painted(800, 400)), 800, 400, 200, 100},
		{"a high jpeg", encoded(t, "jpeg", painted(300, 900)), 300, 900, 67, 200},
		{"a square gif", encoded(t, "gif", painted(500, 500)), 500, 500, 200, 200},
		{"barely larger", encoded(t, "png", painted(201, 100)), 201, 100, 200, 100},
		{"of the size", encoded(t, "png", painted(200, 200)), 200, 200, 200, 200},
		{"small", encoded(t, "png", painted(20, 10)), 20, 10, 20, 10},
		{"a pixel", encoded(t, "png", painted(1, 1)), 1, 1, 1, 1},
		{"a line", encoded(t, "png", painted(1900, 1)), 1900, 1, 200, 1},
		{"a line down", encoded(t, "jpeg", painted(1, 1900)), 1, 1900, 1, 200},
		{"translucent", encoded(t, "png", translucent), 600, 400, 200, 133},
		{"16 bits a channel", encoded(t, "png", deep), 500, 500, 200, 200},
		{"grey", encoded(t, "jpeg", grey), 1000, 10, 200, 2},
		{"lossless webp", webps["lossless"], 2, 2, 2, 2},
	} {
		up := w.upload(w.ann, c.name, c.body)
		if up.Body["thumbnailUrl"] == nil {
			t.Errorf("%s: no thumbnail: %s", c.name, up.Text)
			continue
		}
		has(t, up, "width", c.w)
		has(t, up, "height", c.h)
		r := w.server.ViaGateway(id.User{}).Want(200, "GET", w.local(up.Body["thumbnailUrl"]), nil)
		img, err := jpeg.Decode(strings.NewReader(r.Text))
		if err != nil || r.Header.Get("Content-Type") != "image/jpeg" {
			t.Errorf("%s: %v %v", c.name, err, r.Header)
			continue
		}
		if b := img.Bounds(); b.Dx() != c.tw || b.Dy() != c.th {
			t.Errorf("%s: a thumbnail of %v, want %dx%d", c.name, b, c.tw, c.th)
		}
		if c.name == "translucent" || c.name == "16 bits a channel" {
			if !near(img.At(100, 50), color.White) {
				t.Errorf("%s: %v", c.name, img.At(100, 50))
			}
		}
	}
	if n := value(t, w.svc.metrics.thumbs[thumbMade]); n != 13 {
		t.Errorf("%v counted", n)
	}
}

// near compares colours as JPEG leaves them.
func near(a, b color.Color) bool {
	ar, ag, ab, _ := a.RGBA()
	br, bg, bb, _ := b.RGBA()
	far := func(x, y uint32) bool { return math.Abs(float64(x)-float64(y)) > 0x3000 }
	return !far(ar, br) && !far(ag, bg) && !far(ab, bb)
}

func TestShrink(t *testing.T) {
	t.Parallel()
	corners := []color.Color{color.NRGBA{255, 0, 0, 255}, color.NRGBA{0, 255, 0, 255}, color.NRGBA{0, 0, 255, 255}, color.White}
	for _, size := range [][2]int{{40, 40}, {201, 201}, {399, 300}, {400, 400}, {801, 799}, {1000, 1500}} {
		from := painted(size[0], size[1])
		for name, img := range map[string]image.Image{"whole": from, "moved": moved{from}} {
			to := shrink(img, 200)
			w, h := to.Rect.Dx(), to.Rect.Dy()
			for i, p := range []image.Point{{w / 4, h / 4}, {3 * w / 4, h / 4}, {w / 4, 3 * h / 4}, {3 * w / 4, 3 * h / 4}} {
				if !near(to.At(p.X, p.Y), corners[i]) {
					t.Errorf("%v %s: corner %d is %v", size, name, i, to.At(p.X, p.Y))
				}
			}
		}
	}
}

// moved is a picture whose bounds do not begin at 0.
type moved struct{ *image.NRGBA }

func (m moved) Bounds() image.Rectangle { return m.NRGBA.Bounds().Add(image.Pt(7, -3)) }
func (m moved) At(x, y int) color.Color { return m.NRGBA.At(x-7, y+3) }

// TestOrientation turns a picture in each way that EXIF knows: red is always shown at the left above.
func TestOrientation(t *testing.T) {
	t.Parallel()
	// Where the shown picture's left upper quarter is found in what is stored.
	for o := orientation(0); o <= 8; o++ {
		for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
			stored := untold(painted(80, 40), o)
			body := withExif(encoded(t, "jpeg", stored), order, uint16(o))
			m, err := measureJPEG([]byte(body))
			if err != nil || m.turned != o {
				t.Fatalf("%d: %v %v", o, m, err)
			}
			if w, h := m.turned.sides(m.width, m.height); w != 80 || h != 40 {
				t.Errorf("%d: shown as %dx%d", o, w, h)
			}
			small, err := shrunk(strings.NewReader(body), codecs["image/jpeg"], m)
			if err != nil {
				t.Fatal(err)
			}
			img, err := jpeg.Decode(bytes.NewReader(small))
			if err != nil {
				t.Fatal(err)
			}
			for i, p := range []image.Point{{20, 10}, {60, 10}, {20, 30}, {60, 30}} {
				want := painted(80, 40).At(p.X, p.Y)
				if !near(img.At(p.X, p.Y), want) {
					t.Errorf("%d: corner %d is %v, want %v", o, i, img.At(p.X, p.Y), want)
				}
			}
		}
	}
}

// untold is the picture that is to be turned by o to be shown as p.
func untold(p *image.NRGBA, o orientation) image.Image {
	rgba := image.NewRGBA(p.Rect)
	for y := range p.Rect.Dy() {
		for x := range p.Rect.Dx() {
			rgba.Set(x, y, p.At(x, y))
		}
	}
	back := o // each undoes itself, but for the two quarters
	switch o {
	case 6:
		back = 8
	case 8:
		back = 6
	}
	return back.apply(rgba)
}

// withExif puts an EXIF segment behind a JPEG's first marker.
func withExif(body string, order binary.AppendByteOrder, o uint16) string {
	tiff := []byte("II*\x00")
	if order == binary.BigEndian {
		tiff = []byte("MM\x00*")
	}
	tiff = order.AppendUint32(tiff, 8)
	tiff = order.AppendUint16(tiff, 2)
	for _, tag := range []uint16{0x010f, 0x0112} {
		tiff = order.AppendUint16(tiff, tag)
		tiff = order.AppendUint16(tiff, 3)
		tiff = order.AppendUint32(tiff, 1)
		tiff = order.AppendUint16(tiff, o)
		tiff = order.AppendUint16(tiff, 0)
	}
	segment := append([]byte("Exif\x00\x00"), tiff...)
	head := binary.BigEndian.AppendUint16([]byte{0xff, 0xe1}, uint16(len(segment)+2))
	return body[:2] + string(head) + string(segment) + body[2:]
}

// pngOf is a PNG with any header, and any data, which need not belong together.
func pngOf(width, height uint32, depth, colour, interlace byte, data []byte) string {
	var b bytes.Buffer
	b.WriteString("\x89PNG\r\n\x1a\n")
	chunk := func(name string, body []byte) {
		all := append([]byte(name), body...)
		_ = binary.Write(&b, binary.BigEndian, uint32(len(body)))
		b.Write(all)
		_ = binary.Write(&b, binary.BigEndian, crc32.ChecksumIEEE(all))
	}
	head := binary.BigEndian.AppendUint32(nil, width)
	head = binary.BigEndian.AppendUint32(head, height)
	chunk("IHDR", append(head, depth, colour, 0, 0, interlace))
	var packed bytes.Buffer
	z := zlib.NewWriter(&packed)
	_, _ = z.Write(data)
	_ = z.Close()
	chunk("IDAT", packed.Bytes())
	chunk("IEND", nil)
	return b.String()
}

// TestBombs uploads pictures that would take gigabytes, or for ever. None is decoded, each is kept.
func TestBombs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.MaxFile = 8 << 20; c.Pictures.MaxBytes = 4 << 20 })
	frames := &gif.GIF{}
	for range 2000 {
		frames.Image = append(frames.Image, image.NewPaletted(image.Rect(0, 0, 64, 64), palette.Plan9))
		frames.Delay = append(frames.Delay, 1)
	}
	var many bytes.Buffer
	if err := gif.EncodeAll(&many, frames); err != nil {
		t.Fatal(err)
	}
	small := encoded(t, "jpeg", painted(64, 64))
	sof := strings.Index(small, "\xff\xc0")
	tall := small[:sof+5] + "\xff\xff\xff\xff" + small[sof+9:]
	progressive := small[:sof] + "\xff\xc2" + small[sof+2:sof+5] + "\x0f\xff\x0f\xff" + small[sof+9:] // 4095 x 4095, with coefficients
	for _, c := range []struct {
		name, body string
		result     thumbResult
		sides      bool // are told
	}{
		{"a huge png", pngOf(1<<31-1, 1<<31-1, 8, 2, 0, nil), thumbTooLarge, false},
		{"a high png", pngOf(1, 100_000, 8, 2, 0, nil), thumbTooLarge, false},
		{"many pixels", pngOf(19_000, 19_000, 1, 0, 0, make([]byte, 1<<20)), thumbTooLarge, true},
		{"many bytes a pixel", pngOf(3500, 3500, 16, 6, 0, make([]byte, 1<<20)), thumbTooLarge, true},
		{"interlaced", pngOf(3500, 3500, 8, 6, 1, make([]byte, 1<<20)), thumbTooLarge, true},
		{"a gif of many frames", many.String(), thumbMade, true},
		{"a gif with a huge screen", "GIF89a\xff\xff\xff\xff\x80\x00\x00\x00\x00\x00\xff\xff\xff,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;", thumbTooLarge, false},
		{"a huge jpeg", tall, thumbTooLarge, false},
		{"a large progressive jpeg", progressive, thumbTooLarge, true},
		{"a jpeg of progressive data alone", small[:sof] + "\xff\xc2" + small[sof+2:], thumbUnreadable, true},
		{"a webp of 16384 x 16384", "RIFF\x24\x00\x00\x00WEBPVP8L\x10\x00\x00\x00\x2f\xff\xff\xff\x0f" + strings.Repeat("\x00", 20), thumbTooLarge, true},
		{"a webp canvas of 2^24", "RIFF\x24\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff", thumbTooLarge, false},
		{"a large file", encoded(t, "png", painted(64, 64)) + strings.Repeat("x", 5<<20), thumbTooLarge, true},
		{"a png without data", pngOf(64, 64, 8, 2, 0, nil), thumbUnreadable, true},
		{"a png of no size", pngOf(0, 64, 8, 2, 0, nil), thumbUnreadable, false},
		{"a png that is only a mark", "\x89PNG\r\n\x1a\n", thumbUnreadable, false},
		{"a jpeg that is only a mark", "\xff\xd8\xff\xe0", thumbUnreadable, false},
		{"a jpeg that breaks off", small[:len(small)/2], thumbUnreadable, true},
		{"a gif that is only a mark", "GIF89a", thumbUnreadable, false},
		{"a webp that is only a mark", "RIFF\x24\x00\x00\x00WEBPVP8 ", thumbUnreadable, false},
	} {
		before := value(t, w.svc.metrics.thumbs[c.result])
		up := w.upload(w.ann, c.name, c.body)
		if (up.Body["thumbnailUrl"] != nil) != (c.result == thumbMade) || (up.Body["width"] != nil) != c.sides {
			t.Errorf("%s: %s", c.name, up.Text)
		}
		if got := value(t, w.svc.metrics.thumbs[c.result]) - before; got != 1 {
			var all []string
			for r := range thumbResults {
				all = append(all, fmt.Sprintf("%s %v", r, value(t, w.svc.metrics.thumbs[r])))
			}
			t.Errorf("%s: not counted as %s: %v", c.name, c.result, all)
		}
		if r := w.server.ViaGateway(id.User{}).Do("GET", w.local(up.Body["url"]), nil); r.Status != 200 || r.Text != c.body {
			t.Errorf("%s: comes back as %d, %d bytes", c.name, r.Status, len(r.Text))
		}
	}
}

// TestDecodersShare keeps the memory of all decoders at work within one budget.
func TestDecodersShare(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.Pictures.Wait = time.Millisecond })
	if err := w.svc.decoding.Acquire(t.Context(), w.svc.cfg.Pictures.Memory); err != nil {
		t.Fatal(err)
	}
	up := w.upload(w.ann, "a.png", encoded(t, "png", painted(64, 64)))
	if up.Body["thumbnailUrl"] != nil || value(t, w.svc.metrics.thumbs[thumbBusy]) != 1 {
		t.Errorf("made without memory: %s", up.Text)
	}
	has(t, up, "width", 64)
	w.svc.decoding.Release(w.svc.cfg.Pictures.Memory)
	if up = w.upload(w.ann, "a.png", encoded(t, "png", painted(64, 64))); up.Body["thumbnailUrl"] == nil {
		t.Error("not made with memory")
	}
}

// TestMeasure compares what the headers promise with what the decoders give.
func TestMeasure(t *testing.T) {
	t.Parallel()
	var yuv [6]image.Image
	for i := range yuv {
		yuv[i] = image.NewYCbCr(image.Rect(0, 0, 123, 77), image.YCbCrSubsampleRatio(i))
	}
	for _, img := range append(yuv[:], painted(123, 77), image.NewGray(image.Rect(0, 0, 123, 77)), image.NewGray16(image.Rect(0, 0, 123, 77)),
		image.NewNRGBA64(image.Rect(0, 0, 123, 77)), image.NewPaletted(image.Rect(0, 0, 123, 77), palette.WebSafe)) {
		for _, format := range []string{"png", "jpeg", "gif"} {
			body := encoded(t, format, img)
			c := codecs["image/"+format]
			m, err := c.measure([]byte(body))
			if err != nil || m.width != 123 || m.height != 77 {
				t.Errorf("%s of %T: %+v %v", format, img, m, err)
				continue
			}
			got, err := c.decode(strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			if took := memoryOf(got); took > m.memory {
				t.Errorf("%s of %T decodes to %T of %d bytes, %d were expected", format, img, got, took, m.memory)
			}
		}
	}
}

// memoryOf is what the pixels of a decoded picture take.
func memoryOf(img image.Image) int64 {
	switch p := img.(type) {
	case *image.YCbCr:
		return int64(cap(p.Y) + cap(p.Cb) + cap(p.Cr))
	case *image.NYCbCrA:
		return int64(cap(p.Y) + cap(p.Cb) + cap(p.Cr) + cap(p.A))
	case *image.RGBA:
		return int64(cap(p.Pix))
	case *image.NRGBA:
		return int64(cap(p.Pix))
	case *image.RGBA64:
		return int64(cap(p.Pix))
	case *image.NRGBA64:
		return int64(cap(p.Pix))
	case *image.Gray:
		return int64(cap(p.Pix))
	case *image.Gray16:
		return int64(cap(p.Pix))
	case *image.Paletted:
		return int64(cap(p.Pix))
	case *image.CMYK:
		return int64(cap(p.Pix))
	default:
		return math.MaxInt64
	}
}

// FuzzPicture decodes whatever passes the bounds: it takes no more memory than was said, and does not panic.
func FuzzPicture(f *testing.F) {
	for _, body := range []string{
		pngOf(3, 3, 8, 2, 0, make([]byte, 30)), webps["lossless"],
		"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;",
	} {
		f.Add([]byte(body))
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, painted(9, 9), nil); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	b.Reset()
	if err := png.Encode(&b, painted(9, 9)); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, body []byte) {
		c, ok := codecs[kindOf(body).mime]
		if !ok {
			return
		}
		m, err := c.measure(body[:min(len(body), prefix)])
		if err != nil || m.width < 1 || m.height < 1 || m.memory > 8<<20 {
			return
		}
		img, err := c.decode(bytes.NewReader(body))
		if err == nil && memoryOf(img) > m.memory {
			t.Errorf("%T of %v takes %d bytes, %d were said", img, img.Bounds(), memoryOf(img), m.memory)
		}
		small, err := shrunk(bytes.NewReader(body), c, m)
		if err != nil && !errors.Is(err, errUnreadable) {
			t.Error(err)
		}
		if err == nil && !slices.Equal(small[:2], []byte{0xff, 0xd8}) {
			t.Errorf("%x", small[:2])
		}
	})
}
