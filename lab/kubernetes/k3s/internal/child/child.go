// Package child runs the programs of a node: each one a process of its own that ends with this one, and whose end ends
// this one, so that systemd starts all of them afresh.
package child

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"
)

// Time that a program has to end before it is killed.
const grace = 15 * time.Second

// Group is the programs of one node.
type Group struct {
	mutex    sync.Mutex
	running  []*process
	stopping bool
	failed   chan error
}

type process struct {
	name string
	cmd  *exec.Cmd
	done chan struct{}
}

// NewGroup has nothing running.
func NewGroup() *Group {
	return &Group{failed: make(chan error, 16)}
}

// Failed delivers an error when a program ends by itself.
func (g *Group) Failed() <-chan error { return g.failed }

// Self starts one of the programs inside this executable.
func (g *Group) Self(name string, arguments ...string) error {
	logrus.Infof("Running %s %s", name, strings.Join(arguments, " "))
	executable, err := os.Executable()
	if err != nil {
		return err
	}
	return g.Start(name, exec.Command(executable, append([]string{name}, arguments...)...))
}

// Start starts a program; its output goes where this one's goes.
func (g *Group) Start(name string, cmd *exec.Cmd) error {
	if cmd.Stdout == nil {
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	started := make(chan error)
	go func() {
		// The signal on the parent's death is on the death of the thread that started the child.
		runtime.LockOSThread()
		g.mutex.Lock()
		if g.stopping {
			g.mutex.Unlock()
			started <- fmt.Errorf("%s: not started any more", name)
			return
		}
		if err := cmd.Start(); err != nil {
			g.mutex.Unlock()
			started <- fmt.Errorf("%s: %w", name, err)
			return
		}
		running := &process{name, cmd, make(chan struct{})}
		g.running = append(g.running, running)
		g.mutex.Unlock()
		started <- nil
		err := cmd.Wait()
		close(running.done)
		g.mutex.Lock()
		defer g.mutex.Unlock()
		if !g.stopping {
			g.failed <- fmt.Errorf("%s exited: %v", name, err)
		}
	}()
	return <-started
}

// Stop ends all programs, the last one started first, and returns when they are gone.
func (g *Group) Stop() {
	g.mutex.Lock()
	g.stopping = true
	running := g.running
	g.mutex.Unlock()
	deadline := time.After(grace)
	for i := len(running) - 1; i >= 0; i-- {
		process := running[i]
		_ = process.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-process.done:
		case <-deadline:
			logrus.Warnf("%s did not end within %s", process.name, grace)
			for _, left := range running[:i+1] {
				_ = left.cmd.Process.Kill()
			}
			return
		}
	}
}

// Merge puts the flags that a user gave (without the leading dashes) over the defaults, and returns both as a command
// line in the order of their names. The same flag given twice by a user is passed twice.
func Merge(defaults map[string]string, given []string) []string {
	result := make([]string, 0, len(defaults)+len(given))
	users := map[string]bool{}
	for _, flag := range given {
		name, _, _ := strings.Cut(flag, "=")
		users[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(defaults)) {
		if !users[name] {
			result = append(result, "--"+name+"="+defaults[name])
		}
	}
	for _, flag := range given {
		result = append(result, "--"+flag)
	}
	return result
}
