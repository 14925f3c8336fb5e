package postgres

// ReadEvery is how often a store looks for changes of pools that nobody told it
// of.
const ReadEvery = readEvery
