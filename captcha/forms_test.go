package captcha_test

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/png"
	"testing"
	"time"

	"app2wxapp/captcha"
)

func decoded(t *testing.T, what string, b []byte, width, height int) image.Image {
	t.Helper()
	m, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if got := m.Bounds(); got != image.Rect(0, 0, width, height) {
		t.Fatalf("%s is %v, want %d by %d", what, got, width, height)
	}
	return m
}

// Where the piece is to go there is a hole of its shape, and nothing of what was
// there.
func TestPuzzle(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	places := map[int]bool{}
	for range 20 {
		r.time = r.time.Add(time.Minute)
		c, _ := r.ask(captcha.Puzzle)
		at := captcha.Place(r.pool, c.Token)
		places[at] = true
		picture := decoded(t, "picture", c.Picture, 310, 155)
		piece := decoded(t, "piece", c.Piece, 47, 155)
		if at < 55 || at > 310-47 {
			t.Fatalf("the piece goes to %d, want 55 to 263", at)
		}
		if len(c.Picture) > 48<<10 || len(c.Piece) > 8<<10 || c.Sound != nil {
			t.Errorf("picture of %d bytes, piece of %d, sound of %d; want less than 48 KiB, 8 KiB, none", len(c.Picture), len(c.Piece), len(c.Sound))
		}
		shown, same := 0, 0
		for y := range 155 {
			for x := range 47 {
				pr, pg, pb, alpha := piece.At(x, y).RGBA()
				if alpha == 0 {
					continue
				}
				shown++
				hr, hg, hb, _ := picture.At(at+x, y).RGBA()
				if edge := hr == hg && hg == hb && hr>>8 == 225; !edge && (hr > 0x5600 || hg > 0x5600 || hb > 0x5600) {
					t.Fatalf("under the piece, at %d,%d, the picture is no hole: %x %x %x", x, y, hr, hg, hb)
				}
				if hr>>8 == pr>>8/3 && hg>>8 == pg>>8/3 && hb>>8 == pb>>8/3 { // the hole is darker
					same++
				}
			}
		}
		if shown < 500 || same > shown/10 {
			t.Errorf("the piece has %d points, %d of them as in the hole; want 500 or more and few", shown, same)
		}
		if len(c.SecretKey) != 16 {
			t.Errorf("secretKey of %d characters, want 16", len(c.SecretKey))
		}
	}
	if len(places) < 10 {
		t.Errorf("20 pieces go to %d places", len(places))
	}
}

func TestPictureOfDigits(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	c, answer := r.ask(captcha.Digits)
	m := decoded(t, "picture", c.Picture, 240, 80)
	colours := map[any]bool{}
	for y := range 80 {
		for x := range 240 {
			colours[m.At(x, y)] = true
		}
	}
	if len(colours) < 3 || c.Piece != nil || c.Sound != nil || c.SecretKey != "" {
		t.Errorf("%d colours, %d bytes of a piece, %d of a sound", len(colours), len(c.Piece), len(c.Sound))
	}
	if len(answer) != 6 {
		t.Errorf("the answer is %q, want six digits", answer)
	}
}

// wav returns how long a WAV plays, and its samples; what is not PCM of 8 bits
// and 8 kHz on one channel fails the test.
func wav(t *testing.T, b []byte) (length time.Duration, samples []byte) {
	t.Helper()
	if len(b) < 44 || string(b[:4]) != "RIFF" || string(b[8:16]) != "WAVEfmt " {
		t.Fatalf("no WAV: % x", b[:min(len(b), 44)])
	}
	le := binary.LittleEndian
	fmtSize := le.Uint32(b[16:])
	if le.Uint16(b[20:]) != 1 || le.Uint16(b[22:]) != 1 || le.Uint32(b[24:]) != 8000 || le.Uint16(b[34:]) != 8 {
		t.Fatalf("format % x, want PCM, one channel, 8000 Hz, 8 bits", b[20:36])
	}
	data := b[20+fmtSize:]
	if string(data[:4]) != "data" {
		t.Fatalf("%q, want data", data[:4])
	}
	n := le.Uint32(data[4:])
	samples = data[8:]
	if int(le.Uint32(b[4:])) != len(b)-8 || int(n) > len(samples) || len(samples)-int(n) > 1 {
		t.Fatalf("lengths %d and %d in a file of %d bytes", le.Uint32(b[4:]), n, len(b))
	}
	return time.Duration(n) * time.Second / 8000, samples[:n]
}

// Who cannot see can hear it: in their language, at a pace to type by.
func TestSpoken(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, english := range []bool{false, true} {
		c, err := r.Challenge(ctx, r.pool, captcha.Ask{Form: captcha.Spoken, English: english, Addr: addr})
		if err != nil {
			t.Fatal(err)
		}
		length, samples := wav(t, c.Sound)
		if length < 8*time.Second || length > 40*time.Second {
			t.Errorf("it lasts %v, want 8 to 40 s", length)
		}
		loud := 0
		for _, s := range samples {
			if s < 96 || s > 160 {
				loud++
			}
		}
		if loud < len(samples)/200 {
			t.Errorf("%d of %d samples are loud: is it silence?", loud, len(samples))
		}
		if c.Picture != nil || c.Piece != nil || c.SecretKey != "" {
			t.Error("something is shown with what is spoken")
		}
	}
}

// Each digit has a recording in both languages, and six of it have room in the
// sound: the longest one has 3908 samples, and a pace of 1.2 makes six of it
// longer by less than the second that comes after them.
func TestEveryDigitIsSpoken(t *testing.T) {
	t.Parallel()
	for digit := range byte(10) {
		for _, english := range []bool{false, true} {
			b, err := captcha.Speak(digit, english)
			if err != nil {
				t.Fatal(err)
			}
			if length, _ := wav(t, b); length < 8*time.Second {
				t.Errorf("six times %d last %v", digit, length)
			}
		}
	}
}

// Nothing that is drawn or spoken is drawn or spoken twice.
func TestNoTwoAreAlike(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	seen := map[string]bool{}
	for _, form := range []captcha.Form{captcha.Puzzle, captcha.Digits, captcha.Spoken} {
		for range 4 {
			c, _ := r.ask(form)
			for _, text := range []string{c.Token, string(c.Picture), string(c.Piece), string(c.Sound), c.SecretKey} {
				if text != "" && seen[text] {
					t.Fatalf("form %d: something came twice", form)
				}
				seen[text] = true
			}
		}
	}
}

func TestUnknownForm(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if c, err := r.Challenge(ctx, r.pool, captcha.Ask{Form: 3, Addr: addr}); err == nil || c.Token != "" {
		t.Errorf("form 3: %+v, want an error", c)
	}
}

func BenchmarkChallenge(b *testing.B) {
	for name, form := range map[string]captcha.Form{"puzzle": captcha.Puzzle, "digits": captcha.Digits, "spoken": captcha.Spoken} {
		b.Run(name, func(b *testing.B) {
			r := newRig(b)
			for b.Loop() {
				r.time = r.time.Add(time.Second)
				if _, err := r.Challenge(ctx, r.pool, captcha.Ask{Form: form, Addr: addr}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
