package captcha

import (
	"bytes"
	crand "crypto/rand"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
)

// Sizes that clients of AJ-Captcha reckon with.
const (
	puzzleWidth  = 310
	puzzleHeight = 155
	pieceSize    = 47 // the piece's picture has this width, and the puzzle's height
)

const (
	body = 29                     // side of the piece without its tabs
	knob = (pieceSize - body) / 2 // how far a tab stands out

	// minAt keeps the hole away from where the piece begins.
	minAt = pieceSize + 8
	// tolerance is how far from its place the piece may be let go.
	tolerance = 5.0
)

// drawPuzzle draws a picture with two holes of different shapes, and the piece
// that was in one of them, and returns both as PNG and where that one is. The
// picture is a new one each time: nobody can collect them.
func drawPuzzle() (picture, piece []byte, at int, err error) {
	var seed [32]byte
	crand.Read(seed[:])
	r := rand.New(rand.NewChaCha8(seed)) // #nosec G404 -- ChaCha8 with a secret seed
	at = minAt + r.IntN(puzzleWidth-pieceSize-minAt+1)
	hole := outline{at: image.Pt(at, r.IntN(puzzleHeight-pieceSize+1)), sides: newSides(r)}
	decoy := outline{at: hole.at, sides: newSides(r)}
	for decoy.sides.same(hole.sides) > 2 {
		decoy.sides = newSides(r)
	}
	for d := decoy.at.X - hole.at.X; -pieceSize < d && d < pieceSize; d = decoy.at.X - hole.at.X {
		decoy.at = image.Pt(r.IntN(puzzleWidth-pieceSize+1), r.IntN(puzzleHeight-pieceSize+1))
	}

	scene, under := newScene(r), newScene(r)
	out := image.NewRGBA(scene.Rect)
	copy(out.Pix, scene.Pix)
	decoy.dig(out, under)
	hole.dig(out, under)
	if picture, err = encode(out); err != nil {
		return nil, nil, 0, err
	}
	piece, err = encode(hole.lift(scene))
	return picture, piece, at, err
}

func encode(m image.Image) ([]byte, error) {
	return written(func(b *bytes.Buffer) error {
		return (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(b, m)
	})
}

// sides are what the four sides of a piece have: a tab (1), a notch (-1) or
// neither.
type sides [4]int

// newSides returns sides of which one has a tab and one a notch at least.
func newSides(r *rand.Rand) (s sides) {
	for tabs, notches := 0, 0; tabs == 0 || notches == 0; {
		tabs, notches = 0, 0
		for i := range s {
			s[i] = r.IntN(3) - 1
			tabs += max(s[i], 0)
			notches += max(-s[i], 0)
		}
	}
	return s
}

// same returns how many sides are the same.
func (s sides) same(as sides) (n int) {
	for i := range s {
		if s[i] == as[i] {
			n++
		}
	}
	return n
}

// outline is that of a piece.
type outline struct {
	at    image.Point // the corner of its box
	sides sides
}

// has tells whether a point of the box is of the piece.
func (o outline) has(x, y int) bool {
	if x < 0 || y < 0 || x >= pieceSize || y >= pieceSize {
		return false
	}
	const middle, first, last = pieceSize / 2, knob, knob + body - 1
	in := first <= x && x <= last && first <= y && y <= last
	for i, c := range [...]image.Point{{middle, first - 1}, {last + 1, middle}, {middle, last + 1}, {first - 1, middle}} {
		dx, dy := x-c.X, y-c.Y
		if o.sides[i] != 0 && dx*dx+dy*dy <= (knob-1)*(knob-1) {
			return o.sides[i] > 0
		}
	}
	return in
}

// edge tells whether a point of the piece is at its edge.
func (o outline) edge(x, y int) bool {
	return !o.has(x-1, y) || !o.has(x+1, y) || !o.has(x, y-1) || !o.has(x, y+1)
}

// each calls do with every point of the piece, in the picture, and whether it is
// at the edge.
func (o outline) each(do func(x, y int, edge bool)) {
	for y := range pieceSize {
		for x := range pieceSize {
			if o.has(x, y) {
				do(o.at.X+x, o.at.Y+y, o.edge(x, y))
			}
		}
	}
}

// dig makes a hole of that outline, in which another scene is seen, darker: of
// what was there nothing is left to compare the piece with.
func (o outline) dig(m, under *image.RGBA) {
	o.each(func(x, y int, edge bool) {
		c := under.RGBAAt(x, y)
		if edge {
			m.SetRGBA(x, y, color.RGBA{225, 225, 225, 255})
			return
		}
		m.SetRGBA(x, y, color.RGBA{c.R / 3, c.G / 3, c.B / 3, 255})
	})
}

// lift returns the piece at its height, with a light edge.
func (o outline) lift(scene *image.RGBA) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, pieceSize, puzzleHeight))
	o.each(func(x, y int, edge bool) {
		c := scene.RGBAAt(x, y)
		if edge {
			c = color.RGBA{255, 255, 255, 255}
		}
		m.SetRGBA(x-o.at.X, y, c)
	})
	return m
}

// newScene paints clouds of colour with discs and bars over them.
func newScene(r *rand.Rand) *image.RGBA {
	const cell = 62 // five by three fill the picture
	const across, down = puzzleWidth/cell + 2, puzzleHeight/cell + 2
	var grid [down][across][3]int
	for i := range grid {
		for j := range grid[i] {
			grid[i][j] = [3]int{70 + r.IntN(180), 70 + r.IntN(180), 70 + r.IntN(180)}
		}
	}
	m := image.NewRGBA(image.Rect(0, 0, puzzleWidth, puzzleHeight))
	for y := range puzzleHeight {
		for x := range puzzleWidth {
			i, j, v, u := y/cell, x/cell, y%cell, x%cell
			p := m.Pix[m.PixOffset(x, y):]
			for c := range 3 {
				top := grid[i][j][c]*(cell-u) + grid[i][j+1][c]*u
				bottom := grid[i+1][j][c]*(cell-u) + grid[i+1][j+1][c]*u
				// Steps of four make the file smaller.
				p[c] = uint8((top*(cell-v)+bottom*v)/(cell*cell)) &^ 3 // #nosec G115 -- below 250
			}
			p[3] = 255
		}
	}
	for range 14 {
		paint(m, r)
	}
	return m
}

// paint paints a disc, or a bar that leans, half through which the clouds are
// seen.
func paint(m *image.RGBA, r *rand.Rand) {
	cx, cy, size, lean := r.IntN(puzzleWidth), r.IntN(puzzleHeight), 8+r.IntN(30), r.IntN(5)-2
	disc := r.IntN(2) == 0
	shade := [3]int{r.IntN(256), r.IntN(256), r.IntN(256)}
	for y := max(cy-size, 0); y < min(cy+size, puzzleHeight); y++ {
		for x := max(cx-3*size, 0); x < min(cx+3*size, puzzleWidth); x++ {
			dx, dy := x-cx, y-cy
			if along := 2*dx + lean*dy; disc && dx*dx+dy*dy > size*size || !disc && (along < -size || along > size) {
				continue
			}
			p := m.Pix[m.PixOffset(x, y):]
			for c := range 3 {
				p[c] = uint8((int(p[c])+shade[c])/2) &^ 3 // #nosec G115 -- a mean of two bytes
			}
		}
	}
}
