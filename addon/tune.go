package main

import (
	"github.com/pagewire/pagewire/internal/pages"
	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/pagewire/pagewire/internal/tune"
)

// tuned is how a database uses its pages, without the techniques that PAGEWIRE_TUNE switches off.
func tuned(limits protocol.Limits) pages.Config {
	return pages.Config{
		Limits:           limits,
		DisableReadahead: tune.Off("readahead"),
		DisableLookups:   tune.Off("lookups"),
		DisableChains:    tune.Off("chains"),
		DisableExpand:    tune.Off("expand"),
		DisableMerge:     tune.Off("merge"),
		DisableHold:      tune.Off("hold") || tune.Off("merge"), // what waits is to be merged
	}
}
