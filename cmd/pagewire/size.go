package main

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// size is a flag of bytes: a whole number with a unit of 1024 or without one, such as 4096, 64KiB or 10GiB.
type size uint64

var units = []struct {
	suffix string
	shift  uint
}{{"TiB", 40}, {"GiB", 30}, {"MiB", 20}, {"KiB", 10}}

// Type implements pflag.Value.
func (*size) Type() string { return "size" }

// String implements pflag.Value: the largest unit that says the size exactly.
func (s *size) String() string {
	for _, u := range units {
		if *s != 0 && bits.TrailingZeros64(uint64(*s)) >= int(u.shift) {
			return strconv.FormatUint(uint64(*s)>>u.shift, 10) + u.suffix
		}
	}
	return strconv.FormatUint(uint64(*s), 10)
}

// Set implements pflag.Value.
func (s *size) Set(text string) error {
	digits, shift := text, uint(0)
	for _, u := range units {
		if cut, ok := strings.CutSuffix(text, u.suffix); ok {
			digits, shift = strings.TrimSpace(cut), u.shift
			break
		}
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return fmt.Errorf("a size is a whole number of bytes, or of KiB, MiB, GiB or TiB, such as 64MiB")
	}
	// Sizes go into signed integers in places.
	if bits.Len64(n)+int(shift) > 63 {
		return fmt.Errorf("the size is too large")
	}
	*s = size(n << shift)
	return nil
}
