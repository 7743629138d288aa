package server

import "io"

// Waiting returns how many opens wait for an actor of the namespace of the tests.
func (s *Server) Waiting(actor string) int {
	s.holds.mu.Lock()
	defer s.holds.mu.Unlock()
	for name, l := range s.holds.locks {
		if name == "default/"+actor {
			return len(l.queue)
		}
	}
	return 0
}

// Receive reads a message, and returns it with the size of its buffer and what gives that back.
func Receive(r io.Reader) (message []byte, capacity int, done func(), err error) {
	in, err := receive(r)
	if err != nil {
		return nil, 0, nil, err
	}
	return in.bytes, cap(*in.buffer), in.done, nil
}
