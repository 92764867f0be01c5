package child

import (
	"os/exec"
	"slices"
	"testing"
	"time"
)

func TestWhatAUserSaysReplacesADefault(t *testing.T) {
	got := Merge(map[string]string{"b": "1", "a": "1"}, []string{"b=2", "c=3"})
	if !slices.Equal(got, []string{"--a=1", "--b=2", "--c=3"}) {
		t.Errorf("got %v", got)
	}
}

func TestAProgramThatEndsByItselfIsAFailure(t *testing.T) {
	group := NewGroup()
	if err := group.Start("false", exec.Command("false")); err != nil {
		t.Fatal(err)
	}
	select {
	case <-group.Failed():
	case <-time.After(10 * time.Second):
		t.Error("nobody was told")
	}
}

func TestAProgramThatEndsIsReportedWithItsOwnReason(t *testing.T) {
	group := NewGroup()
	script := `echo 'E1126 10:00:00.000000 1 run.go:72] "command failed" err="no \\"good\\" reason"' >&2; exit 1`
	if err := group.Start("kubelet", exec.Command("sh", "-c", script)); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-group.Failed():
		if err.Error() != `kubelet exited: no "good" reason` {
			t.Errorf("got %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("nobody was told")
	}
}

func TestStoppingIsNoFailure(t *testing.T) {
	group := NewGroup()
	if err := group.Start("sleep", exec.Command("sleep", "60")); err != nil {
		t.Fatal(err)
	}
	group.Stop()
	select {
	case err := <-group.Failed():
		t.Error(err)
	default:
	}
	if err := group.Start("late", exec.Command("true")); err == nil {
		t.Error("a program was started after the stop")
	}
}
