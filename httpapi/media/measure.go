package media

import (
	"bytes"
	"encoding/binary"
)

// The headers of pictures, as far as bounds need them: what a decoder allocates follows from these numbers
// alone, whatever the rest of the file holds.

func measurePNG(head []byte) (measured, error) {
	const header = 8 + 8 + 13 // signature, the first chunk's length and name, IHDR
	if len(head) < header || string(head[12:16]) != "IHDR" {
		return measured{}, errUnreadable
	}
	w, h := binary.BigEndian.Uint32(head[16:]), binary.BigEndian.Uint32(head[20:])
	depth, colour, interlaced := head[24], head[25], head[28] != 0
	each := int64(4) // bytes of a pixel
	switch {
	case colour == 0 && depth == 16:
		each = 8 // with a transparent colour it becomes one of 64 bits
	case depth == 16:
		each = 8
	case colour == 3:
		each = 1
	}
	return sized(w, h, each, interlaced)
}

func measureGIF(head []byte) (measured, error) {
	if len(head) < 10 {
		return measured{}, errUnreadable
	}
	// A frame lies within the screen.
	return sized(uint32(binary.LittleEndian.Uint16(head[6:])), uint32(binary.LittleEndian.Uint16(head[8:])), 2, false)
}

func measureWebP(head []byte) (measured, error) {
	if len(head) < 30 {
		return measured{}, errUnreadable
	}
	switch string(head[12:16]) {
	case "VP8 ": // a key frame: three bytes, a start code, then the sides in 14 bits each
		if string(head[23:26]) != "\x9d\x01\x2a" {
			return measured{}, errUnreadable
		}
		return sized(uint32(binary.LittleEndian.Uint16(head[26:])&0x3fff), uint32(binary.LittleEndian.Uint16(head[28:])&0x3fff), 3, false)
	case "VP8L": // a mark, then the sides less one in 14 bits each
		bits := binary.LittleEndian.Uint32(head[21:])
		return sized(bits&0x3fff+1, bits>>14&0x3fff+1, 16, false)
	case "VP8X": // the sides less one in 24 bits each
		w := uint32(head[24]) | uint32(head[25])<<8 | uint32(head[26])<<16
		h := uint32(head[27]) | uint32(head[28])<<8 | uint32(head[29])<<16
		return sized(w+1, h+1, 16, false)
	default:
		return measured{}, errUnreadable
	}
}

// measureJPEG walks the segments up to the frame's.
func measureJPEG(head []byte) (measured, error) {
	turned := orientation(0)
	for at := 2; at+4 <= len(head); {
		if head[at] != 0xff {
			return measured{}, errUnreadable
		}
		marker := head[at+1]
		switch {
		case marker == 0xff: // filling
			at++
			continue
		case marker == 0x01, marker >= 0xd0 && marker <= 0xd7: // no length
			at += 2
			continue
		}
		n := int(binary.BigEndian.Uint16(head[at+2:]))
		if n < 2 {
			return measured{}, errUnreadable
		}
		body := head[min(at+4, len(head)):min(at+2+n, len(head))]
		switch {
		case marker == 0xe1 && turned == 0 && bytes.HasPrefix(body, []byte("Exif\x00\x00")):
			turned = exifOrientation(body[6:])
		case marker >= 0xc0 && marker <= 0xc2:
			m, err := measureFrame(body, marker == 0xc2)
			m.turned = turned
			return m, err
		case marker == 0xda, marker >= 0xc3 && marker <= 0xcf && marker != 0xc4 && marker != 0xcc:
			return measured{}, errUnreadable
		}
		at += 2 + n
	}
	return measured{}, errUnreadable
}

// measureFrame reads a frame's header: precision, height, width, and the components with how densely each
// is sampled. A progressive one keeps a coefficient of 4 bytes for every sample.
func measureFrame(body []byte, progressive bool) (measured, error) {
	if len(body) < 6 {
		return measured{}, errUnreadable
	}
	h, w, n := binary.BigEndian.Uint16(body[1:]), binary.BigEndian.Uint16(body[3:]), int(body[5])
	if n < 1 || n > 4 || len(body) < 6+3*n {
		return measured{}, errUnreadable
	}
	samples, maxH, maxV := int64(0), int64(1), int64(1)
	for i := range n {
		sh, sv := int64(body[7+3*i]>>4), int64(body[7+3*i]&15)
		if sh < 1 || sh > 4 || sv < 1 || sv > 4 {
			return measured{}, errUnreadable
		}
		samples += sh * sv
		maxH, maxV = max(maxH, sh), max(maxV, sv)
	}
	m, err := sized(uint32(w), uint32(h), 1, false)
	// Rows and columns are filled up to whole units of maxH x maxV blocks of 8.
	full := (int64(w) + 8*maxH) * (int64(h) + 8*maxV)
	m.memory = full*samples/(maxH*maxV) + 1
	if progressive {
		m.memory *= 5
	}
	if n == 4 {
		m.memory += 4 * full // the picture that the four planes are put together to
	}
	m.memory += overhead
	return m, err
}

// overhead is what a decoder and the shrinking take beside the picture, in bytes.
const overhead = 1 << 20

// sized is a picture whose pixels take so many bytes each; interlaced ones are put together of parts.
func sized(w, h uint32, each int64, interlaced bool) (measured, error) {
	const most = 1 << 24 // no format of ours has longer sides
	if w > most || h > most {
		return measured{}, errOutsized
	}
	m := measured{width: int(w), height: int(h), memory: int64(w)*int64(h)*each + overhead}
	if interlaced {
		m.memory *= 2
	}
	return m, nil
}
