package move

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/bits"
	"sync"
	"sync/atomic"
)

// Sum is a count of records and the sum of their SHA-256, modulo 2²⁵⁶. Stores
// keep records in different orders, and it is the same in any.
type Sum struct {
	Count int
	hash  [4]uint64 // the least significant first
}

// Add adds a record.
func (s *Sum) Add(r Record) {
	b := binary.AppendUvarint(make([]byte, 0, 10+len(r.Key)+len(r.Value)), uint64(len(r.Key)))
	sum := sha256.Sum256(append(append(b, r.Key...), r.Value...))
	s.Count++
	var carry uint64
	for i := range s.hash {
		s.hash[i], carry = bits.Add64(s.hash[i], binary.LittleEndian.Uint64(sum[8*i:]), carry)
	}
}

// String returns the hash's first 16 digits.
func (s Sum) String() string {
	return hex.EncodeToString(binary.BigEndian.AppendUint64(nil, s.hash[3]))
}

// Look reads everything, which shows that every record opens, and checks the
// indexes.
func Look(ctx context.Context, s Source, show func(records int)) (map[Kind]Sum, error) {
	sums := map[Kind]Sum{}
	seen := 0
	for _, k := range Kinds() {
		var sum Sum
		if err := pages(ctx, s, k, "", func(batch []Record) error {
			for _, r := range batch {
				sum.Add(r)
			}
			seen += len(batch)
			show(seen)
			return nil
		}); err != nil {
			return nil, fmt.Errorf("read %s: %w", k, err)
		}
		sums[k] = sum
	}
	return sums, s.Check(ctx)
}

// compare reads both stores and returns what both have, or ErrDiffers.
func compare(ctx context.Context, from, to Source, show func(Progress)) (map[Kind]Sum, error) {
	p := Progress{Doing: "verify"}
	for _, k := range Kinds() {
		n, err := from.Count(ctx, k)
		if err != nil {
			return nil, err
		}
		p.Total += n
	}
	var theirs map[Kind]Sum
	var theirErr error
	var both sync.WaitGroup
	var there atomic.Int64
	both.Go(func() {
		theirs, theirErr = Look(ctx, to, func(n int) { there.Store(int64(n)) })
	})
	ours, err := Look(ctx, from, func(n int) {
		p.Done = min(n, int(there.Load()))
		show(p)
	})
	both.Wait()
	if err != nil {
		err = fmt.Errorf("verify the source: %w", err)
	}
	if theirErr != nil {
		theirErr = fmt.Errorf("verify the destination: %w", theirErr)
	}
	if err := errors.Join(err, theirErr); err != nil {
		return nil, err
	}
	for _, k := range Kinds() {
		if a, b := ours[k], theirs[k]; a != b {
			err = errors.Join(err, fmt.Errorf("%w: %s: %d records, hash %s, in the source; %d, hash %s, in the destination", ErrDiffers, k, a.Count, a, b.Count, b))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w; either the source was changed after a move that was interrupted, or something else writes to the destination: begin again with an empty one", err)
	}
	p.Done, p.Ended = int(there.Load()), true
	show(p)
	return ours, nil
}
