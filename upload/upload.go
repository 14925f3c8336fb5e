// Package upload keeps the pictures that users show as theirs.
//
// Clients of Authing's mini program SDK send a picture without saying who they
// are, and then write its URL into their profile. So a picture is loose at
// first, and swept an hour later unless some user holds it by then:
//
//	         Put                Hold by a user
//	(none) ──────▶ loose ────────────────────▶ held
//	                 ▲  │ an hour later           │ its last holder holds another
//	                 └──│─────────────────────────┘
//	                    ▼
//	                  swept
//
// A user holds one picture at most, and what is loose is bounded: nobody can fill
// the disk with pictures.
package upload

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"image"
	_ "image/gif"  // decoders: of the header only
	_ "image/jpeg" //
	_ "image/png"  //
	"log/slog"
	"strings"
	"time"

	_ "golang.org/x/image/webp" // likewise
)

const (
	// MaxSize is the largest picture, in bytes.
	MaxSize = 1 << 20
	// maxSide is how many pixels a picture has at most each way.
	maxSide = 8192
	// LooseFor is how long a picture that nobody holds is kept.
	LooseFor = time.Hour

	// MaxLoose and MaxLooseBytes bound what nobody holds.
	MaxLoose      = 4096
	MaxLooseBytes = 256 << 20

	sweepEvery = time.Minute
	sweepBatch = 50
)

// Errors of the package. Callers compare with errors.Is.
var (
	ErrNotFound = errors.New("upload: no such picture")
	ErrTooLarge = errors.New("upload: the picture is over 1 MiB")
	ErrType     = errors.New("upload: not a picture")
	ErrFull     = errors.New("upload: too many pictures that nobody holds")
)

// Picture is one picture.
type Picture struct {
	ID   string // unpadded base64url of the SHA-256 of Data
	Type string // "png", "jpeg", "gif" or "webp", by its content
	Data []byte
}

// Store keeps pictures.
type Store interface {
	// PutPicture stores the picture, loose since now. One that is there becomes
	// loose anew, if it is loose. It returns ErrFull, and stores nothing, if there
	// would be more than MaxLoose loose ones, or more than MaxLooseBytes of them.
	PutPicture(ctx context.Context, p Picture, now time.Time) error
	// Picture returns the picture, or ErrNotFound.
	Picture(ctx context.Context, id string) (Picture, error)
	// HoldPicture makes the user hold the picture, "" for none, and no other one.
	// What nobody holds any more is loose since now. It returns ErrNotFound, and
	// changes nothing, if the picture is not there.
	HoldPicture(ctx context.Context, poolID, userID, id string, now time.Time) error
	// SweepPictures deletes up to limit pictures that are loose since the given
	// time or longer, and returns how many.
	SweepPictures(ctx context.Context, since time.Time, limit int) (int, error)
}

// Config is what a Service is made of; every field is required.
type Config struct {
	Store     Store
	Now       func() time.Time
	Log       *slog.Logger
	PublicURL string // without a slash at its end
}

// Service keeps pictures in a Store. It is safe for concurrent use.
type Service struct {
	store Store
	now   func() time.Time
	log   *slog.Logger
	url   string // what the pictures' URLs begin with
}

// Path is where pictures are served: it and the picture's name.
const Path = "/uploads/"

// New returns a Service.
func New(c Config) *Service {
	return &Service{store: c.Store, now: c.Now, log: c.Log, url: c.PublicURL + Path}
}

// Put stores a picture, and returns its URL. What it is is told by its content:
// PNG, JPEG, GIF or WebP with a header that decodes. It returns ErrTooLarge,
// ErrType, ErrFull, or the store's error.
func (s *Service) Put(ctx context.Context, data []byte) (url string, err error) {
	if len(data) > MaxSize {
		return "", ErrTooLarge
	}
	config, format, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil || config.Width < 1 || config.Height < 1 || config.Width > maxSide || config.Height > maxSide {
		return "", ErrType
	}
	sum := sha256.Sum256(data)
	p := Picture{ID: base64.RawURLEncoding.EncodeToString(sum[:]), Type: format, Data: data}
	if err := s.store.PutPicture(ctx, p, s.now()); err != nil {
		return "", fmt.Errorf("keep picture: %w", err)
	}
	return s.url + p.ID + "." + p.Type, nil
}

// Picture returns the picture of that name, the end of its URL, or ErrNotFound.
func (s *Service) Picture(ctx context.Context, name string) (Picture, error) {
	id, format, _ := strings.Cut(name, ".")
	if !validID(id) {
		return Picture{}, ErrNotFound
	}
	p, err := s.store.Picture(ctx, id)
	if err == nil && p.Type != format {
		return Picture{}, ErrNotFound
	}
	return p, err
}

// Check returns nil unless the URL is one of ours whose picture is not there:
// ErrNotFound.
func (s *Service) Check(ctx context.Context, url string) error {
	name, ours := strings.CutPrefix(url, s.url)
	if !ours {
		return nil
	}
	_, err := s.Picture(ctx, name)
	return err
}

// Hold makes the user hold the picture of the URL and no other one; none at all
// if the URL is not ours.
func (s *Service) Hold(ctx context.Context, poolID, userID, url string) error {
	id := ""
	if name, ours := strings.CutPrefix(url, s.url); ours {
		id, _, _ = strings.Cut(name, ".")
	}
	if err := s.store.HoldPicture(ctx, poolID, userID, id, s.now()); err != nil {
		return fmt.Errorf("hold picture: %w", err)
	}
	return nil
}

// Sweep deletes what nobody has held for LooseFor, and returns how many.
func (s *Service) Sweep(ctx context.Context) (int, error) {
	total := 0
	for {
		n, err := s.store.SweepPictures(ctx, s.now().Add(-LooseFor), sweepBatch)
		total += n
		if err != nil || n < sweepBatch || ctx.Err() != nil {
			return total, err
		}
	}
}

// RunSweeper sweeps every minute until ctx ends. Each failure is logged.
func (s *Service) RunSweeper(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if _, err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
				s.log.Error("sweep pictures", "err", err)
			}
		}
	}
}

// validID tells whether the text can be an id.
func validID(id string) bool {
	b, err := base64.RawURLEncoding.Strict().DecodeString(id)
	return err == nil && len(b) == sha256.Size && len(id) == base64.RawURLEncoding.EncodedLen(sha256.Size)
}
