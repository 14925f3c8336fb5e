package seal

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"
)

// The vectors of C2SP's XAES-256-GCM, https://c2sp.org/XAES-256-GCM.
func TestXAESVectors(t *testing.T) {
	for _, row := range []struct {
		key       byte
		aad, want string
	}{
		{0x01, "", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"},
		{0x03, "c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"},
	} {
		var key [32]byte
		copy(key[:], bytes.Repeat([]byte{row.key}, 32))
		nonce := []byte("ABCDEFGHIJKLMNOPQRSTUVWX")
		got := New(1, key).derive(nonce).Seal(nil, nonce[12:], []byte("XAES-256-GCM"), []byte(row.aad))
		if hex.EncodeToString(got) != row.want {
			t.Errorf("key %x…: got %x, want %s", row.key, got, row.want)
		}
	}
}

func TestSealOpens(t *testing.T) {
	s := New(1, [32]byte{1})
	for _, plain := range [][]byte{nil, {}, {0}, []byte("planted"), bytes.Repeat([]byte("x"), 5000)} {
		record := s.Seal(nil, "users", []byte("p/u"), plain)
		got, err := s.Open(nil, "users", []byte("p/u"), record)
		if err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes: got %d bytes, %v", len(plain), len(got), err)
		}
		if len(plain) > 4 && bytes.Contains(record, plain) {
			t.Error("the record shows what it seals")
		}
		if again := s.Seal(nil, "users", []byte("p/u"), plain); bytes.Equal(again, record) {
			t.Error("the same nonce twice")
		}
	}
}

// No byte of a record can be changed, none can be missing, and it cannot lie
// anywhere else.
func TestSealRefuses(t *testing.T) {
	s := New(1, [32]byte{1})
	record := s.Seal(nil, "users", []byte("p/u"), []byte("planted"))
	refused := func(what string, s *Sealer, bucket, key string, record []byte) {
		t.Helper()
		if plain, err := s.Open(nil, bucket, []byte(key), record); !errors.Is(err, ErrSealed) || plain != nil {
			t.Errorf("%s: opened as %q, %v", what, plain, err)
		}
	}
	for i := range record {
		for bit := range 8 {
			record[i] ^= 1 << bit
			refused("flipped", s, "users", "p/u", record)
			record[i] ^= 1 << bit
		}
	}
	for n := range record {
		refused("cut off", s, "users", "p/u", record[:n])
	}
	refused("longer", s, "users", "p/u", append(bytes.Clone(record), 0))
	refused("another key", s, "users", "p/v", record)
	refused("another bucket", s, "access", "p/u", record)
	refused("bucket and key shifted", s, "user", "sp/u", record)
	refused("another record key", New(1, [32]byte{2}), "users", "p/u", record)
	refused("another key id", New(2, [32]byte{1}), "users", "p/u", record)
	if plain, err := s.Open(nil, "users", []byte("p/u"), record); err != nil || string(plain) != "planted" {
		t.Errorf("afterwards: %q, %v", plain, err)
	}
}

func TestBlindKeys(t *testing.T) {
	k, other := NewDataKeys(), NewDataKeys()
	base := k.Blind("openids", "p", "wx1", "o1")
	for name, b := range map[string][]byte{
		"another store": other.Blind("openids", "p", "wx1", "o1"),
		"another index": k.Blind("unionids", "p", "wx1", "o1"),
		"another pool":  k.Blind("openids", "q", "wx1", "o1"),
		"shifted":       k.Blind("openids", "p", "wx1o", "1"),
		"one value":     k.Blind("openids", "p", "wx1o1"),
		"pool shifted":  k.Blind("openids", "pw", "x1", "o1"),
	} {
		if bytes.Equal(b, base) {
			t.Errorf("%s: the same key", name)
		}
	}
	if !bytes.Equal(k.Blind("openids", "p", "wx1", "o1"), base) || len(base) != 32 {
		t.Error("the same value has two keys")
	}
	if got, err := UnmarshalDataKeys(k.Marshal()); err != nil || got != k {
		t.Errorf("marshalled and back: %v", err)
	}
	if _, err := UnmarshalDataKeys(k.Marshal()[1:]); !errors.Is(err, ErrSealed) {
		t.Errorf("short data keys: %v", err)
	}
}
