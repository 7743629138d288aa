package sim

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/pagewire/pagewire/internal/protocol"
)

// The generic KV interface, beside the database in the same actor: keys that the programs overwrite and read back.

// kvKeys is how many there are, below kvPrefix.
const kvKeys = 4

const kvPrefix = "kv/"

// kvPut is a value that somebody tried to store, and that may be the current one. The value 0 stands for no value.
type kvPut struct {
	value  uint64
	handle *Handle
	acked  bool
	gone   time.Duration // when it was replaced for good, 0 if it was not
	over   []*kvPut      // what it replaces for good once it is acknowledged: what was acknowledged, or its own handle's, before
}

func kvKey(k int) string { return kvPrefix + strconv.Itoa(k) }

// kvBegin notes a value that is about to be put.
func (m *Model) kvBegin(h *Handle, key string) *kvPut {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.actor(actorName(h.Actor))
	if a.kv == nil {
		a.kv = make(map[string][]*kvPut)
	}
	if a.kv[key] == nil {
		a.kv[key] = []*kvPut{{acked: true}}
	}
	a.kvValue++
	p := &kvPut{value: a.kvValue, handle: h}
	for _, before := range a.kv[key] {
		if before.gone == 0 && (before.acked || before.handle == h) {
			p.over = append(p.over, before)
		}
	}
	a.kv[key] = append(a.kv[key], p)
	return p
}

// kvAcked notes that it was stored.
func (m *Model) kvAcked(p *kvPut) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p.acked = true
	for _, q := range p.over {
		if q.gone == 0 {
			q.gone = m.w.Now()
		}
	}
}

// kvRefused notes that it was not stored, and never will be (I6).
func (m *Model) kvRefused(p *kvPut) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p.gone = 1 // before any read
}

// kvSeen checks what was read from a moment on: a value that somebody tried to store and was not refused, and that nothing
// acknowledged had replaced by then (I1, I2, I6, I9).
func (m *Model) kvSeen(h *Handle, from time.Duration, key string, value []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var n uint64
	if value != nil {
		n, _ = strconv.ParseUint(string(value), 10, 64)
	}
	may := m.actor(actorName(h.Actor)).kv[key]
	if n == 0 && len(may) == 0 || slices.ContainsFunc(may, func(p *kvPut) bool { return p.value == n && (p.gone == 0 || p.gone >= from) }) {
		return
	}
	var list []uint64
	for _, p := range may {
		if p.gone == 0 || p.gone >= from {
			list = append(list, p.value)
		}
	}
	m.w.Fail("I2", "%s: %s read %d of %s, it may hold %d", actorName(h.Actor), h.r.c.Name, n, key, list)
}

// kv puts and reads some keys.
func (d *program) kv() {
	h, ctx := d.h, d.h.r.ctx
	for range 1 + d.r.IntN(5) {
		k := kvKey(d.r.IntN(kvKeys))
		switch d.r.IntN(4) {
		case 0:
			d.kvPut(ctx, k, d.w.Model.kvBegin(h, k))
		case 1:
			d.kvBurst()
		default:
			if err := d.kvCheck(ctx, k); err != nil {
				return
			}
		}
	}
}

func (d *program) kvPut(ctx context.Context, k string, p *kvPut) {
	err := d.h.actor.Put(ctx, &protocol.Put{Keys: [][]byte{[]byte(k)}, Values: [][]byte{fmt.Append(nil, p.value)}})
	d.w.Event("kv put", "%s %s %s=%d: %v", d.c.Name, actorID(d.actor), k, p.value, err)
	switch d.w.fateOf(err) {
	case acked:
		d.w.Model.kvAcked(p)
	case failed:
		d.w.Model.kvRefused(p)
	}
}

// kvBurst puts several values at once. Their goroutines come in the opposite order of their turns.
func (d *program) kvBurst() {
	var puts []func()
	for range 2 + d.r.IntN(3) {
		k := kvKey(d.r.IntN(2)) // often the same
		ctx, end := d.h.actor.Turn(d.h.r.ctx)
		p := d.w.Model.kvBegin(d.h, k)
		puts = append(puts, func() {
			defer end()
			d.kvPut(ctx, k, p)
		})
	}
	var all sync.WaitGroup
	for _, put := range slices.Backward(puts) {
		all.Go(put)
	}
	all.Wait()
}

// kvCheck reads a key, and all of them as a list.
func (d *program) kvCheck(ctx context.Context, k string) error {
	from := d.w.Now()
	got, err := d.h.actor.Get(ctx, &protocol.Get{Keys: [][]byte{[]byte(k)}})
	if err != nil {
		return err
	}
	d.w.Model.kvSeen(d.h, from, k, got.Values[0])
	list, err := d.h.actor.List(ctx, &protocol.List{Prefix: []byte(kvPrefix)})
	if err != nil {
		return err
	}
	for i, key := range list.Entries.Keys {
		d.w.Model.kvSeen(d.h, from, string(key), list.Entries.Values[i])
	}
	return nil
}
