// Package openapi describes the HTTP API: a document of OpenAPI 3.1 for each
// listener, and a page for people who read it.
//
//	GET /openapi.json   the document
//	GET /docs           the page: no script, nothing from elsewhere
//
// The documents are written by hand, one file for each dialect, and joined when
// they are first asked for. Their examples are in examples.json: requests that a
// test made, with what was answered.
package openapi

import (
	"net/http"
	"sync"

	"github.com/labstack/echo/v4"

	"app2wxapp/bridge/wire"
)

// API answers with one listener's description.
type API struct {
	made func() (description, error)
}

// description is what is answered.
type description struct {
	json   []byte
	page   []byte
	policy string // the page's Content-Security-Policy
}

// Public returns the description of the public listener, whose address is url.
func Public(url, version string) *API {
	return describe(url, version, "public.yaml", "shared.yaml", "app2wxapp.yaml", "oauth.yaml", "casdoor.yaml", "authing.yaml", "idaas.yaml", "service.yaml")
}

// Admin returns the description of the admin listener, which knows no address of
// its own.
func Admin(version string) *API {
	return describe("/", version, "admin.yaml", "shared.yaml", "service.yaml")
}

func describe(url, version string, files ...string) *API {
	return &API{made: sync.OnceValues(func() (d description, err error) {
		doc, err := join(url, version, files)
		if err != nil {
			return d, err
		}
		if d.json, err = doc.json(); err != nil {
			return d, err
		}
		d.page, d.policy = doc.page()
		return d, nil
	})}
}

// JSON answers GET /openapi.json. Anybody's page may read it: it says nothing
// that the page does not.
func (a *API) JSON(c echo.Context) error {
	d, err := a.made()
	if err != nil {
		return err
	}
	c.Response().Header().Set(echo.HeaderAccessControlAllowOrigin, "*")
	return wire.Blob(c, http.StatusOK, d.json)
}

// Page answers GET /docs.
func (a *API) Page(c echo.Context) error {
	d, err := a.made()
	if err != nil {
		return err
	}
	h := c.Response().Header()
	h.Set(echo.HeaderContentSecurityPolicy, d.policy)
	h.Set(echo.HeaderXFrameOptions, "DENY")
	return c.HTMLBlob(http.StatusOK, d.page)
}
