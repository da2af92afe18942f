package media

import (
	"image"
	"image/color"
	stddraw "image/draw"

	"golang.org/x/image/draw"
)

// shrink fits a picture into side x side pixels, keeping its form, on white, and never makes it larger.
//
// A large one is first averaged over whole squares of pixels, a row at a time, down to between two and four
// times the size, and then resampled: that costs one pass over the pixels and two rows of memory, where
// resampling alone would take a strip of floats as high as the picture.
func shrink(from image.Image, side int) *image.RGBA {
	b := from.Bounds()
	w, h := fit(b.Dx(), b.Dy(), side)
	if f := min(b.Dx()/(2*w), b.Dy()/(2*h)); f >= 2 {
		from = average(from, f)
		b = from.Bounds()
	}
	to := image.NewRGBA(image.Rect(0, 0, w, h))
	stddraw.Draw(to, to.Rect, image.NewUniform(color.White), image.Point{}, stddraw.Src)
	if b.Dx() == w && b.Dy() == h {
		stddraw.Draw(to, to.Rect, from, b.Min, stddraw.Over)
		return to
	}
	draw.CatmullRom.Scale(to, to.Rect, from, b, draw.Over, nil)
	return to
}

// fit gives the sides of a picture that is made to fit into side x side pixels.
func fit(w, h, side int) (int, int) {
	switch {
	case w <= side && h <= side:
		return w, h
	case w >= h:
		return side, max(1, (h*side+w/2)/w)
	default:
		return max(1, (w*side+h/2)/h), side
	}
}

// average makes one pixel of every f x f, on white. What is left over at the right and below is left out.
func average(from image.Image, f int) *image.RGBA {
	b := from.Bounds()
	w, h := b.Dx()/f, b.Dy()/f
	to := image.NewRGBA(image.Rect(0, 0, w, h))
	row := image.NewRGBA(image.Rect(0, 0, w*f, 1))
	sums := make([]uint32, 3*w)
	white := image.NewUniform(color.White)
	all := uint32(f * f) //nolint:gosec // sides are bounded, and so is f: below 2^12
	for y := range h {
		clear(sums)
		for i := range f {
			stddraw.Draw(row, row.Rect, white, image.Point{}, stddraw.Src)
			stddraw.Draw(row, row.Rect, from, image.Pt(b.Min.X, b.Min.Y+y*f+i), stddraw.Over)
			for x := range w {
				sum := sums[3*x : 3*x+3]
				for p := row.Pix[4*f*x : 4*f*(x+1)]; len(p) >= 4; p = p[4:] {
					sum[0] += uint32(p[0])
					sum[1] += uint32(p[1])
					sum[2] += uint32(p[2])
				}
			}
		}
		for x := range w {
			p := to.Pix[to.PixOffset(x, y):][:4]
			p[0], p[1], p[2], p[3] = byte(sums[3*x]/all), byte(sums[3*x+1]/all), byte(sums[3*x+2]/all), 0xff
		}
	}
	return to
}
