package bolt

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

// Of a bbolt file only the meta pages have a checksum, and bbolt walks all
// others when it opens one: in a goroutine of its own, where a page that is not
// what it should be ends the process. checkPages walks first, and refuses.

const (
	branchPage  = 1
	leafPage    = 2
	bucketEntry = 1 // flag of a leaf element that is a bucket
	elementSize = 16
	inBucket    = 16 // a bucket's root page and sequence; its page follows if the root is 0
)

// pageWalk walks the tree of the newest commit.
type pageWalk struct {
	f    io.ReaderAt
	meta boltMeta
	seen []bool
}

// checkPages returns an error unless every page in use is where it belongs, is
// named once, is laid out as bbolt does (a count or a size that changed leaves a
// gap) and has its keys in order, within what the page above says.
func checkPages(f io.ReaderAt) error {
	meta, err := newestMeta(f)
	if err != nil {
		return err
	}
	w := pageWalk{f, meta, make([]bool, meta.Pages)}
	if err := w.page(meta.Root, nil, nil); err != nil {
		return fmt.Errorf("the file is damaged: %w; restore a backup", err)
	}
	return nil
}

// page checks a page and those below it. Keys are at least low and below high,
// nil for no bound.
func (w *pageWalk) page(id uint64, low, high []byte) error {
	if id < 2 || id >= w.meta.Pages {
		return fmt.Errorf("page %d is none of the file's %d", id, w.meta.Pages)
	}
	b, err := w.read(id, 1)
	if err != nil {
		return err
	}
	overflow := uint64(binary.NativeEndian.Uint32(b[12:]))
	if id+overflow >= w.meta.Pages {
		return fmt.Errorf("page %d: it ends beyond the file", id)
	}
	for i := id; i <= id+overflow; i++ {
		if w.seen[i] {
			return fmt.Errorf("page %d is in two places", i)
		}
		w.seen[i] = true
	}
	if overflow > 0 {
		// #nosec G115 -- both are within the pages of the file, checked above
		if b, err = w.read(id, 1+int(overflow)); err != nil {
			return err
		}
	}
	if got := binary.NativeEndian.Uint64(b); got != id {
		return fmt.Errorf("page %d says that it is page %d", id, got)
	}
	if _, err := w.elements(b, low, high); err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	// bbolt keeps no page for nothing, but for the first one of a new file.
	if count := binary.NativeEndian.Uint16(b[10:]); count == 0 && id != w.meta.Root {
		return fmt.Errorf("page %d has no elements", id)
	}
	return nil
}

func (w *pageWalk) read(id uint64, pages int) ([]byte, error) {
	b := make([]byte, pages*int(w.meta.PageSize))
	// #nosec G115 -- a page within the file
	if _, err := w.f.ReadAt(b, int64(id)*int64(w.meta.PageSize)); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	return b, nil
}

// elements checks what is on a page: a header, then an element for each key,
// then keys and values in the same order without gaps. It returns where they end.
func (w *pageWalk) elements(b, low, high []byte) (end int, err error) {
	kind, count := binary.NativeEndian.Uint16(b[8:]), int(binary.NativeEndian.Uint16(b[10:]))
	if kind != branchPage && kind != leafPage || kind == branchPage && count == 0 {
		return 0, fmt.Errorf("kind %d with %d elements", kind, count)
	}
	at := pageHeader + count*elementSize // where the next key begins
	if at > len(b) {
		return 0, fmt.Errorf("%d elements do not fit", count)
	}
	var last []byte
	type child struct {
		key []byte
		id  uint64
	}
	var children []child
	for i := range count {
		from := pageHeader + i*elementSize
		var flags, pos, keySize, valueSize uint32
		e := b[from : from+elementSize]
		if kind == leafPage {
			flags, pos = binary.NativeEndian.Uint32(e), binary.NativeEndian.Uint32(e[4:])
			keySize, valueSize = binary.NativeEndian.Uint32(e[8:]), binary.NativeEndian.Uint32(e[12:])
		} else {
			pos, keySize = binary.NativeEndian.Uint32(e), binary.NativeEndian.Uint32(e[4:])
		}
		end := int64(at) + int64(keySize) + int64(valueSize)
		if int64(from)+int64(pos) != int64(at) || keySize == 0 || end > int64(len(b)) || flags&^bucketEntry != 0 {
			return 0, fmt.Errorf("element %d of %d is not where it belongs", i, count)
		}
		key, value := b[at:at+int(keySize)], b[at+int(keySize):end]
		at = int(end)
		if i > 0 && bytes.Compare(last, key) >= 0 || bytes.Compare(key, low) < 0 || high != nil && bytes.Compare(key, high) >= 0 {
			return 0, fmt.Errorf("key %d of %d is out of order", i, count)
		}
		last = key
		if kind == branchPage {
			children = append(children, child{key, binary.NativeEndian.Uint64(e[8:])})
			continue
		}
		if flags&bucketEntry != 0 {
			if err := w.bucket(value); err != nil {
				return 0, fmt.Errorf("bucket %q: %w", key, err)
			}
		}
	}
	for i, c := range children {
		end := high
		if i+1 < len(children) {
			end = children[i+1].key
		}
		if err := w.page(c.id, c.key, end); err != nil {
			return 0, err
		}
	}
	return at, nil
}

// bucket checks a bucket, whose page is inline if it is small.
func (w *pageWalk) bucket(value []byte) error {
	if len(value) < inBucket {
		return fmt.Errorf("its entry is cut off")
	}
	if root := binary.NativeEndian.Uint64(value); root != 0 {
		return w.page(root, nil, nil)
	}
	inline := value[inBucket:]
	if len(inline) < pageHeader || binary.NativeEndian.Uint16(inline[8:]) != leafPage {
		return fmt.Errorf("its page is none")
	}
	end, err := w.elements(inline, nil, nil)
	if err == nil && end != len(inline) {
		err = fmt.Errorf("its page ends at %d of %d bytes", end, len(inline))
	}
	return err
}
