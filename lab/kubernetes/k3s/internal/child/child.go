// Package child runs the programs of a node: each one a process of its own that ends with this one, and whose end ends
// this one, so that systemd starts all of them afresh.
package child

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
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
	last := &lastWords{}
	if cmd.Stdout == nil {
		output := io.MultiWriter(os.Stderr, last)
		cmd.Stdout, cmd.Stderr = output, output
		// A process that it left behind may hold its output open.
		cmd.WaitDelay = 2 * time.Second
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
			if said := last.reason(); said != "" {
				g.failed <- fmt.Errorf("%s exited: %s", name, said)
			} else {
				g.failed <- fmt.Errorf("%s exited: %v", name, err)
			}
		}
	}()
	return <-started
}

// In K3s these programs are functions and return an error; here it is the line that they write before they exit.
type lastWords struct {
	mutex sync.Mutex
	line  []byte
	found string
}

func (w *lastWords) Write(text []byte) (int, error) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.line = append(w.line, text...)
	for {
		end := bytes.IndexByte(w.line, '\n')
		if end < 0 {
			return len(text), nil
		}
		if reason := reasonIn(string(w.line[:end])); reason != "" {
			w.found = reason
		}
		w.line = w.line[end+1:]
	}
}

func (w *lastWords) reason() string {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return w.found
}

func reasonIn(line string) string {
	if _, quoted, ok := strings.Cut(line, `"command failed" err=`); ok {
		if reason, err := strconv.Unquote(quoted); err == nil {
			return reason
		}
		return quoted
	}
	if reason, ok := strings.CutPrefix(line, "Error: "); ok {
		return reason
	}
	if strings.Contains(line, "leaderelection lost") {
		return "leaderelection lost"
	}
	return ""
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
