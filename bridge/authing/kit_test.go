package authing_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"mime/multipart"
	"strings"
	"testing"

	"app2wxapp/bridge/bridgetest"
	"app2wxapp/wechat/sandbox"
)

const connections = "/connections/social/wechat-miniprogram/"

// rig is a bridge with a pool.
type rig struct {
	*bridgetest.Bridge
	t    *testing.T
	pool bridgetest.Pool
}

func newRig(t *testing.T, settings ...string) rig {
	t.Helper()
	b := bridgetest.New(t)
	return rig{b, t, b.NewPool(settings...)}
}

func (r rig) code(user string) string { return r.WeChat.LoginCode(bridgetest.AppID, user) }

// rest posts to a login call of the SDK; body is a JSON text.
func (r rig) rest(call, body string, headers ...string) bridgetest.Response {
	r.t.Helper()
	return r.Post(connections+call, body, append([]string{"x-authing-userpool-id: " + r.pool.ID, "x-authing-app-id: "}, headers...)...)
}

// userOf is a user as the SDK gets one.
type userOf struct {
	ID            string  `json:"id"`
	OldID         string  `json:"_id"`
	Token         string  `json:"token"`
	TokenEnd      string  `json:"tokenExpiredAt"`
	Phone         *string `json:"phone"`
	Nickname      *string `json:"nickname"`
	Photo         *string `json:"photo"`
	Gender        *string `json:"gender"`
	LoginsCount   int     `json:"loginsCount"`
	Company       *string `json:"company"`
	Username      *string `json:"username"`
	PhoneVerified bool    `json:"phoneVerified"`
}

// loginWith makes a login call and returns the user.
func (r rig) loginWith(call, body string, headers ...string) userOf {
	r.t.Helper()
	var out struct {
		Code int
		Data userOf
	}
	res := r.rest(call, body, headers...).Want(200)
	res.Decode(&out)
	if out.Code != 200 || out.Data.ID == "" || out.Data.OldID != out.Data.ID || out.Data.Token == "" {
		r.t.Fatalf("%s: got %s", call, res.Body)
	}
	return out.Data
}

func (r rig) login(user string) userOf {
	r.t.Helper()
	return r.loginWith("auth", fmt.Sprintf(`{"code":%q}`, r.code(user)))
}

// sealedPhone is a body for a call that takes a phone.
func (r rig) sealedPhone(user, phone string) string {
	code := r.code(user)
	s := r.WeChat.SealedPhone(code, phone)
	return fmt.Sprintf(`{"code":%q,"iv":%q,"encryptedData":%q}`, code, s.IV, s.EncryptedData)
}

// wantREST fails unless the answer is this error of a REST call.
func (r rig) wantREST(what string, res bridgetest.Response, code int) {
	r.t.Helper()
	var got struct {
		Code    *int
		Message string
		Data    any
	}
	if err := json.Unmarshal([]byte(res.Body), &got); err != nil || res.Status != 200 || got.Code == nil || *got.Code != code || got.Message == "" {
		r.t.Errorf("%s: got %d %s, want 200 with code %d", what, res.Status, res.Body, code)
	}
	if !strings.Contains(res.Body, `"data":null`) && !strings.Contains(res.Body, `"data":{}`) {
		r.t.Errorf("%s: no data in %s", what, res.Body)
	}
}

// graphql posts a document; token is "" for none.
func (r rig) graphql(token, query string, variables any) bridgetest.Response {
	r.t.Helper()
	return r.graphqlAt("/graphql/v2", token, query, variables)
}

func (r rig) graphqlAt(path, token, query string, variables any) bridgetest.Response {
	r.t.Helper()
	body, err := json.Marshal(map[string]any{"query": query, "variables": variables})
	if err != nil {
		r.t.Fatal(err)
	}
	var headers []string
	if token != "" {
		headers = append(headers, "Authorization: Bearer "+token)
	}
	return r.Post(path, string(body), headers...)
}

// wantGraphQL fails unless the answer is this error of a GraphQL call.
func (r rig) wantGraphQL(what string, res bridgetest.Response, code int, path ...string) {
	r.t.Helper()
	var got struct {
		Errors []struct {
			Message struct {
				Code    int
				Message string
			}
			Path []string
		}
		Data any
	}
	if err := json.Unmarshal([]byte(res.Body), &got); err != nil || res.Status != 200 || len(got.Errors) != 1 || got.Data != nil {
		r.t.Errorf("%s: got %d %s, want one error", what, res.Status, res.Body)
		return
	}
	if e := got.Errors[0]; e.Message.Code != code || e.Message.Message == "" || strings.Join(e.Path, "/") != strings.Join(path, "/") {
		r.t.Errorf("%s: got %s, want %d at %v", what, res.Body, code, path)
	}
}

// picture is a small PNG whose bytes depend on n.
func picture(t *testing.T, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	img := image.NewGray(image.Rect(0, 0, 2, 2))
	img.Pix[0] = byte(n)
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// upload sends a file as the SDK does, without any word about who sends it.
func (r rig) upload(query string, part string, data []byte) bridgetest.Response {
	r.t.Helper()
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	f, err := w.CreateFormFile(part, "avatar.png")
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := f.Write(data); err != nil {
		r.t.Fatal(err)
	}
	w.Close()
	return r.Do("POST", r.URL+"/api/v2/upload"+query, body.String(), "Content-Type: "+w.FormDataContentType())
}

func union(user string) string { return sandbox.UnionID(bridgetest.Platform, user) }
