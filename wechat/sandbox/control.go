package sandbox

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

// maxCount bounds how many codes one control call makes.
const maxCount = 10_000

// codeRequest asks for codes. Count above 0 asks for that many, and then "{n}"
// in the user stands for 1, 2, … count.
type codeRequest struct {
	AppID string `json:"appId"`
	User  string `json:"user"`
	Phone string `json:"phone"`
	Count int    `json:"count"`
}

// serveCode makes codes for the call that kind names. It answers {"code"}, or
// {"codes"} if a count was given.
func (s *Server) serveCode(w http.ResponseWriter, r *http.Request, kind string) {
	var req codeRequest
	if !decode(w, r, &req) {
		return
	}
	newCode := func(user string) string {
		if kind == Phone {
			return s.PhoneCode(req.AppID, user, req.Phone)
		}
		return s.LoginCode(req.AppID, user)
	}
	_, known := s.app(req.AppID)
	switch {
	case !known:
		http.Error(w, "appId: the sandbox knows no such mini program", http.StatusBadRequest)
	case req.User == "":
		http.Error(w, "user: give any name", http.StatusBadRequest)
	case kind == Phone && !isPhone(req.Phone):
		http.Error(w, `phone: give digits, "13800138000", or E.164, "+85291234567"`, http.StatusBadRequest)
	case req.Count < 0 || req.Count > maxCount:
		http.Error(w, "count: give 1 to "+strconv.Itoa(maxCount)+", or leave it out", http.StatusBadRequest)
	case req.Count == 0:
		encode(w, map[string]string{"code": newCode(req.User)})
	default:
		codes := make([]string, req.Count)
		for i := range codes {
			codes[i] = newCode(strings.ReplaceAll(req.User, "{n}", strconv.Itoa(i+1)))
		}
		encode(w, map[string][]string{"codes": codes})
	}
}

// isPhone tells whether s is digits, after a plus or not.
func isPhone(s string) bool {
	s = strings.TrimPrefix(s, "+")
	return s != "" && len(s) <= 15 && strings.Trim(s, "0123456789") == ""
}

// serveFail is Fail. Without times it means the next call.
func (s *Server) serveFail(w http.ResponseWriter, r *http.Request) {
	var req struct {
		API     string  `json:"api"`
		Failure Failure `json:"failure"`
		Times   *int    `json:"times"`
	}
	if !decode(w, r, &req) {
		return
	}
	times := 1
	if req.Times != nil {
		times = *req.Times
	}
	if !isAPI(req.API) {
		http.Error(w, "api: give "+Login+", "+Token+" or "+Phone, http.StatusBadRequest)
		return
	}
	if times == 0 && req.Failure == "" {
		req.Failure = Hang // any will do to say that there is none
	}
	if !req.Failure.Valid() {
		http.Error(w, "failure: give one of "+Vocabulary, http.StatusBadRequest)
		return
	}
	s.Fail(req.API, req.Failure, times)
	w.WriteHeader(http.StatusNoContent)
}

// serveKillToken is KillToken.
func (s *Server) serveKillToken(w http.ResponseWriter, r *http.Request) {
	var req struct {
		AppID string `json:"appId"`
	}
	if !decode(w, r, &req) {
		return
	}
	if _, known := s.app(req.AppID); !known {
		http.Error(w, "appId: the sandbox knows no such mini program", http.StatusBadRequest)
		return
	}
	s.KillToken(req.AppID)
	w.WriteHeader(http.StatusNoContent)
}

// decode reads a POST's JSON into v. If it cannot it answers and returns false.
func decode(w http.ResponseWriter, r *http.Request, v any) bool {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "POST only", http.StatusMethodNotAllowed)
		return false
	}
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		http.Error(w, "the body is not the JSON of this call: "+err.Error(), http.StatusBadRequest)
		return false
	}
	return true
}

func encode(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}
