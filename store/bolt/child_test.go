//go:build linux

package bolt

import (
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
)

// childTest runs this test again in a process of its own, which sees env set.
func childTest(t *testing.T, env string) (string, error) {
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), env+"=1")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// ignoreFileSizeSignal makes a write beyond RLIMIT_FSIZE an error, EFBIG.
func ignoreFileSizeSignal() { signal.Ignore(syscall.SIGXFSZ) }
