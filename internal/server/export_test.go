package server

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
