package protocol

// A frame knows the form it is encoded in.
type frame interface{ wire() any }

func (r Request[B]) wire() any { r.Type = FrameRequest; return r }
func (s Stage) wire() any      { s.Type = FrameStage; return s }
func (p Pong) wire() any       { p.Type = FramePong; return p }
func (w Welcome) wire() any    { w.Type = FrameWelcome; return w }
func (p Ping) wire() any       { p.Type = FramePing; return p }
func (l LockLost) wire() any   { l.Type = FrameLockLost; return l }
func (d Drain) wire() any      { d.Type = FrameDrain; return d }

// resultFrame is a response that has a result, which is encoded even if it is an empty struct.
type resultFrame[B any] struct {
	Type   FrameType `cbor:"0,keyasint"`
	ID     uint64    `cbor:"1,keyasint"`
	Result B         `cbor:"2,keyasint"`
}

// errorFrame is a response that has an error.
type errorFrame struct {
	Type  FrameType `cbor:"0,keyasint"`
	ID    uint64    `cbor:"1,keyasint"`
	Error *Error    `cbor:"3,keyasint"`
}

func (r Response[B]) wire() any {
	if r.Error != nil {
		return errorFrame{Type: FrameResponse, ID: r.ID, Error: r.Error}
	}
	return resultFrame[B]{Type: FrameResponse, ID: r.ID, Result: r.Result}
}
