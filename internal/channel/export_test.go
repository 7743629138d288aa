package channel

// StageBytes is the default of Config.StageBytes.
const StageBytes = stageBytes

// What the tests of the hand-made frames see.
var (
	AppendStage   = appendStage
	AppendCommit  = appendCommit
	PagesPerFrame = pagesPerFrame
)
