// Command addon is the Go half of the N-API addon: a c-shared library whose one exported symbol, pagewire_api, is the
// function table of internal/sqlite/pagewire.h. The hot part of the table is the engine's C and never enters Go;
// what is here opens and closes channels and databases, passes events on, and serves the generic KV interface.
package main

func main() {}
