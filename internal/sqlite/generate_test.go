package sqlite_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
)

// generator makes random SQL that is meaningful most of the time: it remembers roughly which tables exist. Nothing it
// makes depends on time or on SQLite's own randomness.
type generator struct {
	*rand.Rand
	tables  []string
	columns map[string][]string
	names   int
	inTx    bool
	points  int // savepoints
}

func newGenerator(seed uint64) *generator {
	return &generator{Rand: rand.New(rand.NewPCG(seed, 1)), columns: make(map[string][]string)}
}

func (g *generator) pick(options ...string) string { return options[g.IntN(len(options))] }

func (g *generator) table() string {
	if len(g.tables) == 0 || g.IntN(200) == 0 {
		return "missing"
	}
	return g.tables[g.IntN(len(g.tables))]
}

func (g *generator) column(table string) string {
	if c := g.columns[table]; len(c) > 0 && g.IntN(100) > 0 {
		return c[g.IntN(len(c))]
	}
	return "c0"
}

// value is a random SQL value to bind.
func (g *generator) value() any {
	switch g.IntN(12) {
	case 0:
		return nil
	case 1:
		return int64(g.Uint64())
	case 2:
		return []int64{math.MaxInt64, math.MinInt64, 1 << 53, -(1 << 53) - 1, 0}[g.IntN(5)]
	case 3:
		return g.NormFloat64() * math.Pow(10, float64(g.IntN(40)-20))
	case 4:
		b := make([]byte, g.IntN(100))
		for i := range b {
			b[i] = byte(g.Uint32())
		}
		return b
	case 5:
		return make([]byte, []int{4095, 4096, 4097, 8191, 20000}[g.IntN(5)]/(1+8*g.IntN(2)))
	case 6:
		return "nul\x00" + g.word() + "\x00"
	case 7:
		return strings.Repeat(g.pick("ä", "世", "\U0001F600", "x"), g.IntN(300))
	case 8:
		return g.word()
	default:
		return int64(g.IntN(50))
	}
}

func (g *generator) word() string {
	return g.pick("alpha", "beta", "gamma", "delta", "") + g.pick("", "1", "22", "é")
}

// statement returns the next statement and its parameters.
func (g *generator) statement() (string, []any) {
	t := g.table()
	switch n := g.IntN(1000); {
	case n < 20 || len(g.tables) == 0:
		return g.createTable(), nil
	case n < 26:
		g.tables = slices.DeleteFunc(g.tables, func(name string) bool { return name == t })
		return "DROP TABLE " + t, nil
	case n < 40:
		g.names++
		return fmt.Sprintf("CREATE %sINDEX i%d ON %s (%s, %s)", g.pick("", "", "UNIQUE "), g.names, t, g.column(t), g.column(t)), nil
	case n < 50:
		return fmt.Sprintf("DROP INDEX i%d", g.IntN(g.names+1)), nil
	case n < 58:
		g.names++
		name := fmt.Sprintf("a%d", g.names)
		g.columns[t] = append(g.columns[t], name)
		return fmt.Sprintf("ALTER TABLE %s ADD COLUMN %s %s", t, name, g.pick("", "INTEGER", "TEXT DEFAULT 'x'", "NOT NULL")), nil
	case n < 62:
		c := g.column(t)
		if len(g.columns[t]) > 1 && c != "c0" {
			g.columns[t] = slices.DeleteFunc(g.columns[t], func(name string) bool { return name == c })
		}
		return fmt.Sprintf("ALTER TABLE %s DROP COLUMN %s", t, c), nil
	case n < 66:
		g.names++
		return fmt.Sprintf("CREATE TRIGGER r%d AFTER %s ON %s BEGIN UPDATE %s SET %s = %d WHERE rowid %% 7 = 1; END",
			g.names, g.pick("INSERT", "DELETE"), t, g.table(), g.column(t), g.IntN(100)), nil
	case n < 70:
		return fmt.Sprintf("DROP TRIGGER r%d", g.IntN(g.names+1)), nil
	case n < 76:
		return g.pick("VACUUM", "ANALYZE", "REINDEX", "PRAGMA integrity_check", "PRAGMA foreign_key_check", "PRAGMA incremental_vacuum"), nil
	case n < 130:
		return g.transaction(), nil
	case n < 430:
		return g.insert(t)
	case n < 530:
		return fmt.Sprintf("UPDATE %s SET %s = ?, %s = %s || ? WHERE %s %s ?", t, g.column(t), g.column(t), g.column(t),
			g.column(t), g.pick("=", "<", ">", "IS NOT")), []any{g.value(), g.word(), g.value()}
	case n < 600:
		return fmt.Sprintf("DELETE FROM %s WHERE %s %s ?", t, g.column(t), g.pick("=", "<", ">=")), []any{g.value()}
	case n < 604:
		return "DELETE FROM " + t, nil
	default:
		return g.query(t)
	}
}

// learn takes note of what an error tells: tables go with transactions that are rolled back.
func (g *generator) learn(message string) {
	if _, name, ok := strings.Cut(message, "no such table: "); ok {
		g.tables = slices.DeleteFunc(g.tables, func(t string) bool { return t == name })
	}
}

func (g *generator) createTable() string {
	g.names++
	name := fmt.Sprintf("t%d", g.names)
	g.tables = append(g.tables, name)
	g.columns[name] = nil
	defs := make([]string, 0, 5)
	for i := range 1 + g.IntN(5) {
		column := fmt.Sprintf("c%d", i)
		g.columns[name] = append(g.columns[name], column)
		defs = append(defs, column+" "+g.pick("", "INTEGER", "TEXT", "REAL", "BLOB", "INTEGER DEFAULT 5", "TEXT COLLATE NOCASE"))
	}
	switch g.IntN(6) {
	case 0:
		g.columns[name] = append([]string{"k"}, g.columns[name]...)
		return fmt.Sprintf("CREATE TABLE %s (k PRIMARY KEY, %s) WITHOUT ROWID", name, strings.Join(defs, ", "))
	case 1:
		return fmt.Sprintf("CREATE TABLE %s (k INTEGER PRIMARY KEY AUTOINCREMENT, %s)", name, strings.Join(defs, ", "))
	case 2:
		return fmt.Sprintf("CREATE TABLE %s (%s, UNIQUE (c0))", name, strings.Join(defs, ", "))
	default:
		return fmt.Sprintf("CREATE TABLE %s (%s)", name, strings.Join(defs, ", "))
	}
}

// transaction control fits the state that earlier ones should have led to, but for one in ten.
func (g *generator) transaction() string {
	if g.IntN(10) == 0 {
		return g.pick("BEGIN", "COMMIT", "ROLLBACK", "RELEASE s1", "ROLLBACK TO s2")
	}
	if !g.inTx {
		g.inTx, g.points = true, 0
		return g.pick("BEGIN", "BEGIN IMMEDIATE", "BEGIN EXCLUSIVE")
	}
	switch n := g.IntN(10); {
	case n < 4:
		g.inTx = false
		return g.pick("COMMIT", "COMMIT", "COMMIT", "ROLLBACK")
	case n < 7 || g.points == 0:
		g.points++
		return fmt.Sprintf("SAVEPOINT s%d", g.points)
	case n < 9:
		return fmt.Sprintf("ROLLBACK TO s%d", 1+g.IntN(g.points))
	default:
		to := 1 + g.IntN(g.points)
		g.points = to - 1
		return fmt.Sprintf("RELEASE s%d", to)
	}
}

func (g *generator) insert(t string) (string, []any) {
	columns := g.columns[t]
	if len(columns) == 0 {
		return "INSERT INTO " + t + " DEFAULT VALUES", nil
	}
	if g.IntN(12) == 0 {
		c := g.column(t)
		return fmt.Sprintf("INSERT INTO %s (%s) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < %d) "+
			"SELECT i * 7919 %% 1009 FROM n", t, c, 1+g.IntN(200)), nil
	}
	n := 1 + g.IntN(len(columns))
	marks, args := make([]string, n), make([]any, n)
	for i := range marks {
		marks[i], args[i] = "?", g.value()
	}
	return fmt.Sprintf("INSERT %sINTO %s (%s) VALUES (%s)%s", g.pick("", "", "OR REPLACE ", "OR IGNORE "), t,
		strings.Join(columns[:n], ", "), strings.Join(marks, ", "), g.pick("", "", " RETURNING *")), args
}

func (g *generator) query(t string) (string, []any) {
	a, b := g.column(t), g.column(t)
	switch g.IntN(6) {
	case 0:
		return fmt.Sprintf("SELECT count(*), sum(length(%s)), max(%s), total(%s) FROM %s", a, b, a, t), nil
	case 1:
		u := g.table()
		return fmt.Sprintf("SELECT x.%s, y.%s FROM %s x JOIN %s y ON x.%s = y.%s ORDER BY 1, 2 LIMIT 20", a, g.column(u), t, u, a, g.column(u)), nil
	case 2:
		return fmt.Sprintf("SELECT %s, count(*) FROM %s GROUP BY %s ORDER BY 2 DESC, 1 LIMIT 10", a, t, a), nil
	case 3:
		return fmt.Sprintf("SELECT typeof(%s), hex(%s), * FROM %s WHERE %s > ? ORDER BY %s LIMIT 15", a, b, t, b, a), []any{g.value()}
	case 4:
		return fmt.Sprintf("SELECT * FROM %s ORDER BY %s DESC LIMIT 10", t, a), nil
	default:
		return fmt.Sprintf("SELECT * FROM %s WHERE %s = ? LIMIT 10", t, a), []any{g.value()}
	}
}
