package admin

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
)

const (
	// backupChunk is what a caller is to take within backupPatience.
	backupChunk    = 1 << 20
	backupPatience = 30 * time.Second
)

// Backup answers GET /admin/v1/backup with a copy of the store. Nothing waits
// for a caller who reads it slowly; who does not read is cut off, and the space
// is free again.
func (a *API) Backup(c echo.Context) (err error) {
	start := time.Now()
	// To make the copy may take minutes, and the end of the time for reading the
	// request would end its context, too.
	control := http.NewResponseController(c.Response())
	if err := control.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	f, err := a.backup(c.Request().Context())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	made := time.Since(start)
	header := c.Response().Header()
	header.Set(echo.HeaderContentType, echo.MIMEOctetStream)
	header.Set(echo.HeaderContentLength, strconv.FormatInt(info.Size(), 10))
	header.Set(echo.HeaderContentDisposition, `attachment; filename="app2wxapp-`+a.now().Format("20060102-150405")+`.backup"`)
	for done := int64(0); done < info.Size(); {
		if err := control.SetWriteDeadline(time.Now().Add(backupPatience)); err != nil {
			return err
		}
		n, err := io.CopyN(c.Response(), f, min(backupChunk, info.Size()-done))
		if err != nil {
			return err
		}
		done += n
	}
	a.log.Info("backup sent", "bytes", info.Size(), "copied_in", made.Round(time.Millisecond).String(), "sent_in", (time.Since(start) - made).Round(time.Millisecond).String())
	return nil
}
