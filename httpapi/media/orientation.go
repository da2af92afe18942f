package media

import (
	"encoding/binary"
	"image"
)

// orientation is how a picture is to be turned before it is shown: EXIF's tag 0x0112, 1 to 8, or 0 where it
// has none.
type orientation uint8

// exifOrientation finds the tag in an EXIF block, which is a TIFF header and its first directory.
func exifOrientation(b []byte) orientation {
	if len(b) < 8 {
		return 0
	}
	var order binary.ByteOrder = binary.LittleEndian
	switch string(b[:4]) {
	case "II*\x00":
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return 0
	}
	at := int64(order.Uint32(b[4:]))
	if at+2 > int64(len(b)) {
		return 0
	}
	entries := int64(order.Uint16(b[at:]))
	for i := range entries {
		e := at + 2 + 12*i
		if e+12 > int64(len(b)) {
			return 0
		}
		const tag, short = 0x0112, 3
		if order.Uint16(b[e:]) == tag && order.Uint16(b[e+2:]) == short {
			if v := order.Uint16(b[e+8:]); v >= 1 && v <= 8 {
				return orientation(v)
			}
			return 0
		}
	}
	return 0
}

// sides are those of the picture as it is shown.
func (o orientation) sides(w, h int) (int, int) {
	if o >= 5 {
		return h, w
	}
	return w, h
}

// apply turns a picture, which is small by now.
func (o orientation) apply(from *image.RGBA) *image.RGBA {
	if o < 2 || o > 8 {
		return from
	}
	w, h := from.Rect.Dx(), from.Rect.Dy()
	tw, th := o.sides(w, h)
	to := image.NewRGBA(image.Rect(0, 0, tw, th))
	for y := range h {
		for x := range w {
			tx, ty := x, y
			switch o {
			case 2:
				tx = w - 1 - x
			case 3:
				tx, ty = w-1-x, h-1-y
			case 4:
				ty = h - 1 - y
			case 5:
				tx, ty = y, x
			case 6:
				tx, ty = h-1-y, x
			case 7:
				tx, ty = h-1-y, w-1-x
			case 8:
				tx, ty = y, w-1-x
			}
			copy(to.Pix[to.PixOffset(tx, ty):][:4], from.Pix[from.PixOffset(x, y):][:4])
		}
	}
	return to
}
