// Package demo is the one page of the sandbox: it plays phone, WeChat and mini
// program in a browser, so that somebody who has none of the three can watch a
// login and break it.
//
// The page calls the bridge's public API and the simulator's control calls by
// relative URLs: Handler has to be on one origin with both.
package demo

import (
	"embed"
	"encoding/json"
	"io/fs"
	"net/http"
)

// Path is where the page is.
const Path = "/sandbox/"

//go:embed page
var files embed.FS

// Info is what the page must be told about the sandbox. It holds secrets, and
// whoever can load the page can read them: it may be about a sandbox only,
// never about a bridge that somebody else can reach.
type Info struct {
	BridgeURL  string `json:"bridgeUrl"` // of the public listener, without a slash at its end
	AdminURL   string `json:"adminUrl"`
	PoolID     string `json:"poolId"`
	PoolSecret string `json:"poolSecret"`
	AppID      string `json:"appId"`                // the mini program's; the simulator knows it
	AdminToken string `json:"adminToken,omitempty"` // "" shows none
}

// policy lets the page load and call its own origin only. It has no inline
// script and no inline style.
const policy = "default-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"

// Handler serves the page under Path and the Info as info.json beside it.
func Handler(info Info) http.Handler {
	page, err := fs.Sub(files, "page")
	if err != nil {
		panic(err) // "page" is a valid path
	}
	body, err := json.Marshal(info)
	if err != nil {
		panic(err) // of texts, none
	}
	mux := http.NewServeMux()
	mux.Handle("GET "+Path, http.StripPrefix(Path, http.FileServerFS(page)))
	mux.HandleFunc("GET "+Path+"info.json", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Write(body)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	})
}
