package sim

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"sync"
	"time"
)

// Net is the network between clients and servers: connections whose segments take their time, and the links that carry
// them, which can be cut in one direction.
type Net struct {
	w *World

	mu    sync.Mutex
	conns map[*conn]struct{} // live ends
	dials uint64
	cut   map[[2]string]bool // links that carry nothing from the first process to the second
}

// Segment is what one write puts on the network.
type Segment struct {
	From, To string // processes
	Conn     uint64 // of the dial
	N        uint64 // of the writes on this connection in this direction, from 1
	Bytes    int
}

// NetFault is what happens to a segment.
type NetFault struct {
	Reset bool // the connection breaks, for both ends, after Keep bytes of the segment have arrived
	Keep  int
	Lose  bool // from this segment on, this direction is silent: a half-open connection
	Delay time.Duration
}

var (
	errReset   = errors.New("sim: connection reset")
	errRefused = errors.New("sim: connection refused")
)

func newNet(w *World) *Net {
	return &Net{w: w, conns: make(map[*conn]struct{}), cut: make(map[[2]string]bool)}
}

// Cut makes the link from one process to another carry nothing until Mend; what is on its way waits.
func (n *Net) Cut(from, to string) {
	n.w.Event("cut", "%s>%s", from, to)
	n.mu.Lock()
	n.cut[[2]string{from, to}] = true
	n.mu.Unlock()
}

// Mend ends Cut.
func (n *Net) Mend(from, to string) {
	n.w.Event("mend", "%s>%s", from, to)
	n.mu.Lock()
	delete(n.cut, [2]string{from, to})
	n.mu.Unlock()
	n.release()
}

func (n *Net) heal() {
	n.mu.Lock()
	clear(n.cut)
	n.mu.Unlock()
	n.release()
}

// release lets what waited for a link or a frozen process arrive.
func (n *Net) release() {
	for _, c := range n.live() { // one after the other, as everything that passes between processes
		time.AfterFunc(between(n.w.Rand("release"+c.from, c.id), 1, time.Microsecond), c.in.arrive)
	}
}

// live are the connections, in an order that is the same in each run of a seed.
func (n *Net) live() []*conn {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.SortedFunc(maps.Keys(n.conns), func(a, b *conn) int {
		return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.from, b.from))
	})
}

// blocked says whether nothing passes from one process to another.
func (n *Net) blocked(from, to string) bool {
	n.mu.Lock()
	cut := n.cut[[2]string{from, to}]
	n.mu.Unlock()
	return cut || n.w.frozen(from) || n.w.frozen(to)
}

// dial connects a client to a server.
func (n *Net) dial(ctx context.Context, from string, to *Server) (net.Conn, error) {
	n.mu.Lock()
	n.dials++
	id := n.dials
	n.mu.Unlock()
	r := n.w.Rand("dial"+from, id)
	sleep := func(d time.Duration) error {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	travel := func(from, to string) error {
		d := n.delay(r.Float64(), between(r, 1, 1000))
		for {
			if err := sleep(d); err != nil {
				return err
			}
			if !n.blocked(from, to) {
				return ctx.Err()
			}
			d = between(r, 1, 500*time.Millisecond)
		}
	}
	if err := travel(from, to.Name); err != nil {
		return nil, err
	}
	a, b := n.pair(id, from, to.Name)
	ghost := n.w.chance("ghost", r)
	if n.w.chance("twin", r) {
		n.twin(a, to)
	}
	if !to.accept(b) {
		a.kill(errRefused)
		b.kill(errRefused)
		n.w.Event("refused", "%s>%s #%d", from, to.Name, id)
		return nil, errRefused
	}
	n.w.Event("dial", "%s>%s #%d ghost=%v", from, to.Name, id, ghost)
	if ghost { // the server has a connection that its client does not know of
		a.kill(errReset)
		_ = sleep(between(r, time.Second, 10*time.Second))
		b.kill(errReset)
		return nil, errRefused
	}
	if err := travel(to.Name, from); err != nil {
		_ = a.Close()
		return nil, err
	}
	return a, nil
}

// delay is the time that a segment takes: mostly the latency, now and then much more.
func (n *Net) delay(x float64, extra time.Duration) time.Duration {
	d := time.Duration(float64(n.w.Latency)*(0.5+x)) + extra
	if x > 0.98 {
		d *= 20
	}
	return d
}

// twin makes the server see everything that c sends twice, the second time on a connection of its own whose answers go
// nowhere.
func (n *Net) twin(c *conn, to *Server) {
	n.mu.Lock()
	n.dials++
	id := n.dials
	n.mu.Unlock()
	a, b := n.pair(id, c.from, to.Name)
	if to.accept(b) {
		n.w.Event("twin", "%s>%s #%d is #%d", c.from, to.Name, id, c.id)
		c.twin = a
		a.in.lost = true
	}
}

func (n *Net) pair(id uint64, from, to string) (a, b *conn) {
	a, b = &conn{n: n, id: id, from: from, to: to}, &conn{n: n, id: id, from: to, to: from}
	a.peer, b.peer = b, a
	for _, c := range []*conn{a, b} {
		c.in = &half{c: c}
		c.in.cond = sync.NewCond(&c.in.mu)
	}
	n.mu.Lock()
	n.conns[a], n.conns[b] = struct{}{}, struct{}{}
	n.mu.Unlock()
	return a, b
}

// killAll breaks the connections of a process that is no more. Peers notice at once or, if silent, not at all.
func (n *Net) killAll(name string, silent bool) {
	for _, c := range n.live() {
		if c.from != name {
			continue
		}
		peer := c.peer
		c.kill(errReset)
		if !silent {
			r := n.w.Rand("rst"+name, c.id)
			time.AfterFunc(n.delay(r.Float64(), between(r, 1, 1000)), func() { peer.kill(errReset) })
		}
	}
}

// frozen says whether a process does nothing for the time being.
func (w *World) frozen(name string) bool {
	for _, c := range w.Clients {
		if c.Name == name {
			return c.isFrozen()
		}
	}
	for _, s := range w.Servers {
		if s.Name == name {
			return s.isFrozen()
		}
	}
	return false
}
