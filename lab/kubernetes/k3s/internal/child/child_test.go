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
