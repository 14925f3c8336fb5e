package main

import (
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// With a certificate the public listener speaks TLS, and the admin listener
// stays as it is.
func TestTLS(t *testing.T) {
	lender := httptest.NewTLSServer(nil) // of a certificate for 127.0.0.1
	defer lender.Close()
	lent := lender.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(lent.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	p := newProgram(t)
	for name, block := range map[string]*pem.Block{
		"CERT": {Type: "CERTIFICATE", Bytes: lent.Certificate[0]},
		"KEY":  {Type: "PRIVATE KEY", Bytes: key},
	} {
		file := filepath.Join(p.folder, name)
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		p.env = append(p.env, "APP2WXAPP_LISTEN_TLS_"+name+"="+file)
	}
	p.start()
	if !strings.HasPrefix(p.public, "https://127.0.0.1:") || !strings.HasPrefix(p.admin, "http://") {
		t.Errorf("public %s, admin %s, want https and http", p.public, p.admin)
	}
	res, err := lender.Client().Get(p.public + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK || res.Header.Get("Strict-Transport-Security") == "" {
		t.Errorf("readyz over TLS: %s, HSTS %q", res.Status, res.Header.Get("Strict-Transport-Security"))
	}
	if err := healthcheck(t.Context(), p.admin); err != nil {
		t.Errorf("healthcheck: %v", err)
	}
}
