package sim

import (
	"bytes"
	"context"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	sqlite3 "github.com/mattn/go-sqlite3"

	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/pagewire/pagewire/internal/sqlite"
	"github.com/pagewire/pagewire/internal/store"
)

// What the databases hold: a log of all transactions, slots that they overwrite, blobs of many pages that come and go, and
// tables that are made and dropped. All of it follows from the log, which is what makes it checkable.

var setup = []sqlite.Statement{
	{SQL: "CREATE TABLE IF NOT EXISTS log (id INTEGER PRIMARY KEY, m INTEGER)"},
	{SQL: "CREATE TABLE IF NOT EXISTS slot (k INTEGER PRIMARY KEY, m INTEGER, pad TEXT)"},
	{SQL: "CREATE INDEX IF NOT EXISTS slot_pad ON slot (pad, m)"},
	{SQL: "CREATE TABLE IF NOT EXISTS blob (id INTEGER PRIMARY KEY, m INTEGER, b BLOB)"},
}

// snapshot reads everything in one statement.
const snapshot = `SELECT 'l' what, id a, m b, NULL text FROM log UNION ALL SELECT 's', k, m, pad FROM slot
	UNION ALL SELECT 'b', length(b), m, CAST(substr(b, -8) AS TEXT) FROM blob
	UNION ALL SELECT 'd', 0, 0, name FROM sqlite_schema WHERE name GLOB 'd[0-9]'`

// snapshotRow is the same as one row.
const snapshotRow = `SELECT json_group_array(json_array(what, a, b, text)) FROM (` + snapshot + `)`

// change is one thing that a transaction does.
type change struct {
	op string // a key of changes
	n  int64  // slot, length or table
}

// changes are what a transaction can do: the SQL, with mark and n, and what that does to the state. To add one, add a row.
var changes = map[string]struct {
	sql   func(mark, n int64) sqlite.Statement
	apply func(s *state, mark, n int64)
}{
	"put": {
		func(mark, n int64) sqlite.Statement {
			return sqlite.Statement{SQL: "INSERT OR REPLACE INTO slot VALUES (?, ?, ?)", Args: []any{n, mark, pad(mark, n)}}
		},
		func(s *state, mark, n int64) { s.slots[n] = row{mark, pad(mark, n)} },
	},
	"update": {
		func(mark, n int64) sqlite.Statement {
			return sqlite.Statement{SQL: "UPDATE slot SET m = ?, pad = ? WHERE k = ?", Args: []any{mark, pad(mark, n), n}}
		},
		func(s *state, mark, n int64) {
			if _, ok := s.slots[n]; ok {
				s.slots[n] = row{mark, pad(mark, n)}
			}
		},
	},
	"delete": {
		func(_, n int64) sqlite.Statement {
			return sqlite.Statement{SQL: "DELETE FROM slot WHERE k = ?", Args: []any{n}}
		},
		func(s *state, _, n int64) { delete(s.slots, n) },
	},
	"blob": {
		func(mark, n int64) sqlite.Statement {
			return sqlite.Statement{SQL: "INSERT INTO blob (m, b) VALUES (?, ?)", Args: []any{mark, blob(mark, n)}}
		},
		func(s *state, mark, n int64) {
			s.blobs = append(s.blobs, blobRow{mark, n, string(blob(mark, n)[n-8:])})
		},
	},
	"unblob": {
		func(int64, int64) sqlite.Statement {
			return sqlite.Statement{SQL: "DELETE FROM blob WHERE id = (SELECT min(id) FROM blob)"}
		},
		func(s *state, _, _ int64) {
			if len(s.blobs) > 0 {
				s.blobs = s.blobs[1:]
			}
		},
	},
	"create": {
		func(_, n int64) sqlite.Statement {
			return sqlite.Statement{SQL: fmt.Sprintf("CREATE TABLE IF NOT EXISTS d%d (x)", n)}
		},
		func(s *state, _, n int64) {
			name := fmt.Sprintf("d%d", n)
			if !slices.Contains(s.ddl, name) {
				s.ddl = append(s.ddl, name)
				slices.Sort(s.ddl)
			}
		},
	},
	"drop": {
		func(_, n int64) sqlite.Statement {
			return sqlite.Statement{SQL: fmt.Sprintf("DROP TABLE IF EXISTS d%d", n)}
		},
		func(s *state, _, n int64) {
			s.ddl = slices.DeleteFunc(s.ddl, func(name string) bool { return name == fmt.Sprintf("d%d", n) })
		},
	},
}

func (c change) apply(s *state, mark int64) { changes[c.op].apply(s, mark, c.n) }

// logged is the statement that every transaction begins with.
func logged(mark int64) sqlite.Statement {
	return sqlite.Statement{SQL: "INSERT INTO log (m) VALUES (?)", Args: []any{mark}}
}

// pad is a text that only this transaction puts into this slot.
func pad(mark, k int64) string {
	one := fmt.Sprintf("%x.%d ", mark, k)
	return strings.Repeat(one, 1+int((mark*7+k)%30))
}

// blob is n bytes (at least 8) that only this transaction writes.
func blob(mark, n int64) []byte {
	one := fmt.Appendf(nil, "%015x|", mark)
	return bytes.Repeat(one, int(n)/len(one)+1)[:n]
}

// stock is a connection of stock SQLite, which looks at one database after the other.
var stock = sync.OnceValues(func() (*sqlite3.SQLiteConn, error) {
	conn, err := new(sqlite3.SQLiteDriver).Open(":memory:")
	if err != nil {
		return nil, err
	}
	return conn.(*sqlite3.SQLiteConn), nil
})

// readStore reads the database that a store holds, with stock SQLite, and checks its structure.
func readStore(st store.Store, actor string) (*state, error) {
	ctx := context.Background()
	values, err := st.Get(ctx, actor, [][]byte{protocol.MetaKey(protocol.FileMain)})
	if err != nil {
		return nil, err
	}
	empty := &state{slots: make(map[int64]row)}
	if values[0] == nil {
		return empty, nil
	}
	size, err := protocol.DecodeMeta(values[0])
	if err != nil {
		return nil, err
	}
	file := make([]byte, size)
	start, end := protocol.ChunkRange(protocol.FileMain)
	beyond := 0
	err = st.Scan(ctx, actor, store.Range{Start: start, End: end}, false, func(key, value []byte) bool {
		at := 0
		for _, b := range key[len(key)-4:] {
			at = at<<8 | int(b)
		}
		if at *= protocol.PageSize; at >= len(file) {
			beyond++
		} else {
			copy(file[at:], value)
		}
		return true
	})
	switch {
	case err != nil:
		return nil, err
	case beyond > 0:
		return nil, fmt.Errorf("%d chunks lie past the file's %d bytes", beyond, size)
	case size == 0:
		return empty, nil
	}
	conn, err := stock()
	if err != nil {
		return nil, err
	}
	if err := conn.Deserialize(file, ""); err != nil {
		return nil, err
	}
	check, err := all(conn, "PRAGMA integrity_check")
	if err != nil {
		return nil, err
	}
	if len(check) != 1 || check[0][0] != "ok" {
		return nil, fmt.Errorf("integrity_check: %v", check)
	}
	tables, err := all(conn, "SELECT 1 FROM sqlite_schema WHERE name = 'log'")
	if err != nil || len(tables) == 0 {
		return empty, err
	}
	rows, err := all(conn, snapshot)
	if err != nil {
		return nil, err
	}
	blobs, err := all(conn, "SELECT m, b FROM blob")
	if err != nil {
		return nil, err
	}
	for _, row := range blobs {
		if b := row[1].([]byte); !bytes.Equal(b, blob(row[0].(int64), int64(len(b)))) {
			return nil, fmt.Errorf("the blob of %x holds other bytes", row[0])
		}
	}
	return toState(rows), nil
}

// all returns the rows of a query.
func all(conn *sqlite3.SQLiteConn, sql string) (out [][]any, err error) {
	rows, err := conn.Query(sql, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for {
		values := make([]driver.Value, len(rows.Columns()))
		if err := rows.Next(values); err == io.EOF {
			return out, nil
		} else if err != nil {
			return nil, err
		}
		row := make([]any, len(values))
		for i, v := range values {
			row[i] = v
		}
		out = append(out, row)
	}
}

// rowsOf is the snapshot that a row of snapshotRow holds.
func rowsOf(row []any) ([][]any, error) {
	var rows [][]any
	text := json.NewDecoder(strings.NewReader(row[0].(string)))
	text.UseNumber() // marks need all bits of an int64
	if err := text.Decode(&rows); err != nil {
		return nil, err
	}
	for _, r := range rows {
		for i, value := range r {
			number, ok := value.(json.Number)
			if !ok {
				continue
			}
			n, err := number.Int64()
			if err != nil {
				return nil, err
			}
			r[i] = n
		}
	}
	return rows, nil
}

// toState makes a state of the rows of snapshot.
func toState(rows [][]any) *state {
	s := &state{slots: make(map[int64]row)}
	for _, r := range rows {
		a, b := r[1].(int64), r[2].(int64)
		text, _ := r[3].(string)
		switch r[0].(string) {
		case "l":
			s.log = append(s.log, b)
		case "s":
			s.slots[a] = row{b, text}
		case "b":
			s.blobs = append(s.blobs, blobRow{b, a, text})
		case "d":
			s.ddl = append(s.ddl, text)
		}
	}
	return s
}
