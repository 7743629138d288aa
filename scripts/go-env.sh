# Sets what every Go build, test and check of this repository uses alike: build tags, SQLite's options, and where
# SQLite's header is. One set for all of them, because Go's build cache then compiles SQLite once instead of once a set.
# Sourced by scripts/go; `make env` prints the result.

set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
sqlite=github.com/mattn/go-sqlite3
sqlite_dir=$(GOFLAGS= go -C "$root" list -m -f '{{.Dir}}' "$sqlite")
if [ -z "$sqlite_dir" ]; then
  go -C "$root" mod download "$sqlite"
  sqlite_dir=$(GOFLAGS= go -C "$root" list -m -f '{{.Dir}}' "$sqlite")
fi

# go-sqlite3's own switches: each adds a -DSQLITE_... to the compilation of the amalgamation.
tags=sqlite_fts5,sqlite_stat4,sqlite_math_functions,sqlite_dbstat,sqlite_column_metadata,sqlite_omit_load_extension

cflags="-O2 -fvisibility=hidden '-I$sqlite_dir'"
cflags="$cflags -DSQLITE_DQS=0"                      # "x" is a name, never a string
cflags="$cflags -DSQLITE_DEFAULT_FOREIGN_KEYS=1"
cflags="$cflags -DSQLITE_STRICT_SUBTYPE=1"
cflags="$cflags -DSQLITE_TEMP_STORE=3"               # temporary tables and sorters in memory (I7)
cflags="$cflags -DSQLITE_MAX_MMAP_SIZE=0"
cflags="$cflags -DSQLITE_USE_URI=0"                  # a file name is never parsed as a URI (I7)
cflags="$cflags -DSQLITE_OMIT_SHARED_CACHE"
cflags="$cflags -DSQLITE_DEFAULT_MEMSTATUS=0"        # no global lock around every allocation
cflags="$cflags -DSQLITE_DEFAULT_LOOKASIDE=512,24"  # 12 KB a database: thousands are open at once
cflags="$cflags -DSQLITE_DEFAULT_PCACHE_INITSZ=0"   # else 86 KB for 20 pages with the first one
cflags="$cflags -DSQLITE_USE_ALLOCA"
case $(GOFLAGS= go env GOOS) in
  windows) ;;
  *) cflags="$cflags -DHAVE_LOCALTIME_R=1" ;;        # localtime() looks at the time zone's file each time (I7)
esac

export CGO_ENABLED=1
export CGO_CFLAGS="$cflags"
export GOFLAGS="-trimpath -tags=$tags${GOFLAGS:+ $GOFLAGS}"
unset root sqlite sqlite_dir tags cflags
