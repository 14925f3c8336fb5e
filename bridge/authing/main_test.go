package authing_test

import (
	"os"
	"testing"

	"app2wxapp/bridge/bridgetest"
)

func TestMain(m *testing.M) { os.Exit(bridgetest.Main(m)) }
