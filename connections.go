package main

import (
	"fmt"
	"log/slog"
	"syscall"
)

// At most so many connections are open at a time. An idle one costs some 20 KB
// and an open file.
const (
	maxPublic = 16_000
	maxAdmin  = 1_000
	// otherFiles are the store, the listeners, and connections to WeChat.
	otherFiles = 1_000
)

// warnOfFiles logs that the system allows the process fewer open files than it
// would use; 0 is not known.
func warnOfFiles(most uint64, log *slog.Logger) {
	const want = maxPublic + maxAdmin + otherFiles
	if most > 0 && most < want {
		log.Warn(fmt.Sprintf("the system allows %d open files, and all connections together take %d: past the limit new callers wait; set LimitNOFILE or ulimit -n", most, want))
	}
}

// maxFiles returns how many files the process may open, 0 if that is not to be
// had. The runtime has raised the soft limit to the hard one.
func maxFiles() uint64 {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return uint64(limit.Cur)
}
