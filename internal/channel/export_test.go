package channel

// What the tests of the hand-made frames see.
var (
	AppendStage   = appendStage
	AppendCommit  = appendCommit
	PagesPerFrame = pagesPerFrame
)
