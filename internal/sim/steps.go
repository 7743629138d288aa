package sim

// Step is a moment in the work of one process at which it can be made to crash or to freeze.
type Step struct {
	Name string // one of stepNames
	Node Node
}

// Node is a process.
type Node interface {
	ID() string
	Crash()  // at once; a client takes its databases with it
	Freeze() // does nothing until Thaw, while its peers go on
	Thaw()
	Start() // after a crash
}

// stepNames are the moments. To add one, name it here and call World.step where it happens.
var stepNames = []string{
	"client connected", "client opened", "client submits", "client commits", "client told", "client closes",
	"server accepts",
	"server before fence", "server after fence",
	"server before apply", "server after apply",
	"server before read", "server after read",
}

// step is called by the processes when they get to a step: the node may be crashed or frozen by it.
func (w *World) step(name string, node Node) {
	w.mu.Lock()
	w.counts.step++
	n := w.counts.step
	w.mu.Unlock()
	if w.Hooks.Step != nil {
		w.Hooks.Step(n, Step{name, node})
	}
	r := w.Rand(name+node.ID(), 0)
	if w.chance("crash", r) || w.chance("crash at "+name, r) {
		w.wg.Go(func() {
			node.Crash()
			w.pause("restart"+node.ID(), 0, restartAfter)
			node.Start()
		})
	}
	if w.chance("freeze at "+name, r) {
		w.wg.Go(func() { w.freeze(node, r) })
	}
}

// Counts returns how many segments, store operations and steps there were.
func (w *World) Counts() (net, store, steps uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.counts.net, w.counts.store, w.counts.step
}
