package main

import "testing"

// FuzzSize holds that a size that is taken reads the same again, and fits into a signed integer.
func FuzzSize(f *testing.F) {
	for _, s := range []string{"0", "4096", "64KiB", "10 GiB", "8388607TiB", "8388608TiB", "-1", "1e3", "1kB", " 1", "18446744073709551616", "KiB"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var a, b size
		if a.Set(text) != nil {
			return
		}
		if int64(a) < 0 {
			t.Fatalf("%q is taken for %d", text, a)
		}
		if err := b.Set(a.String()); err != nil || a != b {
			t.Fatalf("%q is %d, written %s, read %d: %v", text, a, a.String(), b, err)
		}
	})
}
