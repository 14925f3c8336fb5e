package authing

import (
	"errors"
	"io"
	"net/http"

	"github.com/labstack/echo/v4"

	"app2wxapp/bridge/wire"
	"app2wxapp/upload"
	"app2wxapp/userpool"
)

// maxUpload is the largest body: a picture, and what multipart puts around it.
const maxUpload = upload.MaxSize + 16<<10

// maxParts is how many parts of an upload are looked at.
const maxParts = 8

// Upload answers POST /api/v2/upload?folder=avatar: a picture as the part "file"
// of multipart/form-data. The SDK says neither who sends it nor for which pool;
// so an address has few a minute, and what no user's photo becomes is swept.
func (a *API) Upload(c echo.Context) error {
	now, addr := a.now(), userpool.AddrKey(wire.Addr(c))
	if err := a.sent.Check(addr, now); err != nil {
		return err
	}
	if c.QueryParam("folder") != "avatar" {
		return userpool.Invalid("folder", "must be avatar", "必须为 avatar")
	}
	a.sent.Count(addr, now)
	select {
	case a.reading <- struct{}{}:
		defer func() { <-a.reading }()
	default:
		return upload.ErrFull
	}
	data, err := readPicture(c)
	if err != nil {
		return err
	}
	url, err := a.uploads.Put(c.Request().Context(), data)
	if err != nil {
		return err
	}
	return ok(c, "上传成功", struct {
		URL string `json:"url"`
	}{url})
}

func readPicture(c echo.Context) ([]byte, error) {
	r := c.Request()
	if r.ContentLength > maxUpload {
		return nil, upload.ErrTooLarge
	}
	r.Body = http.MaxBytesReader(c.Response(), r.Body, maxUpload)
	parts, err := r.MultipartReader()
	if err != nil {
		return nil, errNoFile
	}
	for range maxParts {
		part, err := parts.NextPart()
		if err != nil {
			return nil, uploadError(err)
		}
		if part.FormName() != "file" {
			continue
		}
		data, err := io.ReadAll(io.LimitReader(part, upload.MaxSize+1))
		if err != nil {
			return nil, uploadError(err)
		}
		return data, nil
	}
	return nil, errNoFile
}

var errNoFile = userpool.Invalid("file", "is required: a picture as a part of multipart/form-data", "必填：multipart/form-data 中的图片")

func uploadError(err error) error {
	if big := (*http.MaxBytesError)(nil); errors.As(err, &big) {
		return upload.ErrTooLarge
	}
	if errors.Is(err, userpool.ErrUnavailable) { // there is no room for the request
		return err
	}
	return errNoFile
}

// Picture answers GET /uploads/:name. It is a picture to whoever asks, whatever
// else its bytes could be taken for: its type is that of its content, and a
// browser that is led to it saves it, runs nothing of it and lets it ask for
// nothing.
func (a *API) Picture(c echo.Context) error {
	p, err := a.uploads.Picture(c.Request().Context(), c.Param("name"))
	if errors.Is(err, upload.ErrNotFound) {
		return echo.ErrNotFound
	}
	if err != nil {
		return err
	}
	h := c.Response().Header()
	h.Set(echo.HeaderCacheControl, "public, max-age=31536000, immutable") // the name is the content's
	h.Set(echo.HeaderContentSecurityPolicy, "default-src 'none'; sandbox")
	h.Set(echo.HeaderContentDisposition, "attachment")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	return c.Blob(http.StatusOK, "image/"+p.Type, p.Data)
}
