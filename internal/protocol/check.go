package protocol

import (
	"errors"
	"fmt"
)

// A checker is a message with rules that its types do not express. Rules that have an error code of their own
// (batch_too_large, keys_values_length_mismatch, ...) are the server's to check.
type checker interface{ check() error }

// MaxFileBytes bounds the size of a file.
const MaxFileBytes = MaxPages * PageSize

func (r *Response[B]) check() error {
	raw, ok := any(r).(*RawResponse)
	if ok && (len(raw.Result) > 0) == (r.Error != nil) {
		return errors.New("a response has either a result or an error")
	}
	return nil
}

func (s *Stage) check() error { return checkWrite(&s.Pages) }

func (p *Pages) check() error {
	if len(p.Data)%PageSize != 0 || len(p.Data)/PageSize != len(p.Indexes) {
		return fmt.Errorf("pages: %d indexes need %d bytes each, got %d bytes", len(p.Indexes), PageSize, len(p.Data))
	}
	return nil
}

// checkWrite checks pages to be written, which cannot be absent.
func checkWrite(p *Pages) error {
	if len(p.Absent) > 0 {
		return fmt.Errorf("pages: %d absent pages in a write", len(p.Absent))
	}
	return p.check()
}

// checkKeys refuses null: it is not an empty byte string.
func checkKeys(what string, keys [][]byte) error {
	for i, k := range keys {
		if k == nil {
			return fmt.Errorf("%s: element %d is null", what, i)
		}
	}
	return nil
}

func (e *Entries) check() error {
	if len(e.Keys) != len(e.Values) {
		return fmt.Errorf("entries: %d keys, but %d values", len(e.Keys), len(e.Values))
	}
	return errors.Join(checkKeys("keys", e.Keys), checkKeys("values", e.Values))
}

func (o *Open) check() error {
	if o.Mode > ModeTakeover {
		return fmt.Errorf("open mode %d is unknown", o.Mode)
	}
	if o.Preload != nil {
		return checkKeys("preload keys", o.Preload.Keys)
	}
	return nil
}

func (r *OpenResult) check() error {
	if r.Generation == 0 {
		return errors.New("generation 0 is no session's")
	}
	var seen [FileSHM + 1]bool
	for _, f := range r.Files {
		if f.Tag > FileSHM || seen[f.Tag] {
			return fmt.Errorf("file tag %d is unknown or comes twice", f.Tag)
		}
		if f.Size > MaxFileBytes {
			return fmt.Errorf("file size %d is over the limit of %d", f.Size, uint64(MaxFileBytes))
		}
		seen[f.Tag] = true
	}
	return errors.Join(r.Entries.check(), r.Pages.check(), checkKeys("scanned keys", r.ScannedKeys))
}

func (g *Get) check() error { return checkKeys("keys", g.Keys) }

// check lets a wrong number of values pass: the server answers it with keys_values_length_mismatch.
func (p *Put) check() error {
	return errors.Join(checkKeys("keys", p.Keys), checkKeys("values", p.Values))
}

func (d *Delete) check() error { return checkKeys("keys", d.Keys) }

func (r *ListResult) check() error { return r.Entries.check() }

func (f *Fetch) check() error {
	if f.File > FileSHM {
		return fmt.Errorf("file tag %d is unknown", f.File)
	}
	if f.Expand != nil && f.File != FileMain {
		return fmt.Errorf("file tag %d: only the main file can be expanded", f.File)
	}
	return nil
}

func (r *FetchResult) check() error { return r.Pages.check() }

func (c *Commit) check() error {
	if c.Count == 0 || c.Seq < c.Count {
		return fmt.Errorf("commit %d cannot stand for %d commits", c.Seq, c.Count)
	}
	if c.Size > MaxFileBytes {
		return fmt.Errorf("file size %d is over the limit of %d", c.Size, uint64(MaxFileBytes))
	}
	for _, tag := range c.DropFiles {
		if tag == FileMain || tag > FileSHM {
			return fmt.Errorf("file tag %d cannot be dropped", tag)
		}
	}
	return checkWrite(&c.Pages)
}
