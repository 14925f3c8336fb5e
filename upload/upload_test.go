package upload_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"log/slog"
	"strings"
	"testing"
	"time"

	"app2wxapp/upload"
)

// fakeStore keeps pictures in a map.
type fakeStore struct {
	upload.Store
	kept map[string]upload.Picture
}

func (s fakeStore) PutPicture(_ context.Context, p upload.Picture, _ time.Time) error {
	s.kept[p.ID] = p
	return nil
}

func (s fakeStore) Picture(_ context.Context, id string) (upload.Picture, error) {
	p, ok := s.kept[id]
	if !ok {
		return p, upload.ErrNotFound
	}
	return p, nil
}

// webp is a picture of one pixel.
const webp = "UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA=="

func encoded(t *testing.T, encode func(*bytes.Buffer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := encode(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// What a picture is is told by its content; each is found under its URL.
func TestPut(t *testing.T) {
	s := upload.New(upload.Config{Store: fakeStore{kept: map[string]upload.Picture{}}, Now: time.Now, Log: slog.New(slog.DiscardHandler), PublicURL: "https://login.example.com"})
	small := image.NewPaletted(image.Rect(0, 0, 1, 1), color.Palette{color.Black})
	ofWebP, err := base64.StdEncoding.DecodeString(webp)
	if err != nil {
		t.Fatal(err)
	}
	for format, data := range map[string][]byte{
		"png":  encoded(t, func(b *bytes.Buffer) error { return png.Encode(b, small) }),
		"jpeg": encoded(t, func(b *bytes.Buffer) error { return jpeg.Encode(b, small, nil) }),
		"gif":  encoded(t, func(b *bytes.Buffer) error { return gif.Encode(b, small, nil) }),
		"webp": ofWebP,
	} {
		url, err := s.Put(t.Context(), data)
		name, ours := strings.CutPrefix(url, "https://login.example.com/uploads/")
		if err != nil || !ours || !strings.HasSuffix(name, "."+format) {
			t.Errorf("%s: %q, %v", format, url, err)
			continue
		}
		if p, err := s.Picture(t.Context(), name); err != nil || p.Type != format || !bytes.Equal(p.Data, data) {
			t.Errorf("%s: %s, %v", format, p.Type, err)
		}
		if err := s.Check(t.Context(), url); err != nil {
			t.Errorf("%s: %v", format, err)
		}
	}
	wide := encoded(t, func(b *bytes.Buffer) error { return png.Encode(b, image.NewGray(image.Rect(0, 0, 8193, 1))) })
	for name, row := range map[string]struct {
		data []byte
		want error
	}{
		"wide": {wide, upload.ErrType}, "text": {[]byte("x"), upload.ErrType}, "nothing": {nil, upload.ErrType},
		"BMP":   {[]byte("BM\x46\x00\x00\x00\x00\x00\x00\x00\x36\x00\x00\x00\x28\x00\x00\x00"), upload.ErrType},
		"large": {make([]byte, upload.MaxSize+1), upload.ErrTooLarge},
	} {
		if url, err := s.Put(t.Context(), row.data); !errors.Is(err, row.want) {
			t.Errorf("%s: %q, %v, want %v", name, url, err, row.want)
		}
	}
	for _, name := range []string{"", "x.png", "../x.png", strings.Repeat("A", 43) + ".png"} {
		if _, err := s.Picture(t.Context(), name); !errors.Is(err, upload.ErrNotFound) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if err := s.Check(t.Context(), "https://elsewhere.example.com/uploads/x.png"); err != nil {
		t.Errorf("another host's: %v", err)
	}
}
