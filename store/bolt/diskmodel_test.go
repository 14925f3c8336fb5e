//go:build linux

package bolt

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// diskModel is what a disk has of the calls so far: for each file what was
// synced, and the writes after that, of which a power loss keeps any part.
type diskModel struct {
	files map[string]*diskFile // by name
	links []call               // changes of names not synced yet
	names map[string]bool      // that a power loss leaves
}

type diskFile struct {
	synced  image
	pending []call
}

// image is a file of which all is zero from the end of data to its size.
type image struct {
	data []byte
	size int
}

func newDiskModel() *diskModel {
	return &diskModel{files: map[string]*diskFile{}, names: map[string]bool{}}
}

func (d *diskModel) file(name string) *diskFile {
	if d.files[name] == nil {
		d.files[name] = &diskFile{}
	}
	return d.files[name]
}

// apply carries out an event. Of a call that failed nothing reaches the disk; a
// sync that failed loses what waited for it, as Linux marks it written.
func (d *diskModel) apply(e event) {
	switch {
	case e.kind == "" || e.err != 0 && e.kind != "sync":
	case e.kind == "write" || e.kind == "truncate":
		f := d.file(e.path)
		f.pending = append(f.pending, e.call)
	case e.kind == "sync":
		if f := d.files[e.path]; f != nil {
			for _, c := range f.pending {
				if e.err == 0 {
					f.synced = c.onto(f.synced)
				}
			}
			f.pending = nil
			return
		}
		var rest []call
		for _, c := range d.links {
			switch {
			case filepath.Dir(c.path) != e.path:
				rest = append(rest, c)
			case e.err == 0:
				d.names[c.path] = c.kind != "unlink"
			}
		}
		d.links = rest
	default:
		if e.kind == "link" {
			d.files[e.path] = d.file(e.from)
		}
		d.links = append(d.links, e.call)
	}
}

// onto returns the file after the call.
func (c call) onto(f image) image {
	if c.kind == "truncate" {
		f.size = int(c.off)
		f.data = f.data[:min(len(f.data), f.size)]
		return f
	}
	end := int(c.off) + len(c.data)
	if grow := end - len(f.data); grow > 0 {
		f.data = append(f.data, make([]byte, grow)...)
	}
	copy(f.data[c.off:], c.data)
	f.size = max(f.size, end)
	return f
}

// crash returns the file as a power loss may leave it: with none of the writes
// that wait, all, or any of their pieces.
func (f *diskFile) crash(r *rand.Rand, variant int) image {
	b := image{bytes.Clone(f.synced.data), f.synced.size}
	share := r.Float64()
	for _, c := range f.pending {
		switch size := map[int]int{2: 512, 3: 4096}[variant]; {
		case variant == 0:
		case variant == 1 || c.kind == "truncate":
			if variant == 1 || r.Float64() < share {
				b = c.onto(b)
			}
		default:
			for at := 0; at < len(c.data); at += size {
				if r.Float64() < share {
					piece := c.data[at:min(at+size, len(c.data))]
					b = call{kind: "write", data: piece, off: c.off + int64(at)}.onto(b)
				}
			}
		}
	}
	return b
}

// there tells whether a power loss leaves the name, and those of the folders
// above it down from root.
func (d *diskModel) there(name, root string, r *rand.Rand, variant int) bool {
	for ; name != root && len(name) > len(root); name = filepath.Dir(name) {
		is := d.names[name]
		for _, c := range d.links {
			if c.path == name && (variant == 1 || variant > 1 && r.IntN(2) == 0) {
				is = c.kind != "unlink"
			}
		}
		if !is {
			return false
		}
	}
	return true
}

// write makes the file at path.
func (f image) write(path string) error {
	if err := os.WriteFile(path, f.data, 0o600); err != nil {
		return err
	}
	return os.Truncate(path, int64(f.size))
}
