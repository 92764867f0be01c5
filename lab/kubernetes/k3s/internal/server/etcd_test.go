package server

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestAMemberThatWasRemovedStartsOnlyWhereItIsToldThroughWhomItJoins(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "etcd")
	mark := filepath.Join(folder, "tombstone")
	if err := os.MkdirAll(filepath.Join(folder, "member"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unbury(folder, mark, ""); err != nil {
		t.Fatalf("a member that was not removed: %v", err)
	}
	if err := bury(mark); err != nil {
		t.Fatal(err)
	}
	if err := unbury(folder, mark, ""); !errors.Is(err, errBuried) {
		t.Fatalf("without a server: %v", err)
	}
	if !exists(filepath.Join(folder, "member")) {
		t.Fatal("its data is gone")
	}
	if err := unbury(folder, mark, "https://10.0.0.2:6443"); err != nil {
		t.Fatal(err)
	}
	aside, _ := filepath.Glob(folder + "-old-*")
	if exists(folder) || len(aside) != 1 || !exists(filepath.Join(aside[0], "member")) {
		t.Errorf("its data is not put aside: %v", aside)
	}
}
