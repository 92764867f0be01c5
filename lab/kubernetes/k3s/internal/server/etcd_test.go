package server

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
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

func TestADatastoreHasTheTimeThatK3sGivesIt(t *testing.T) {
	if patience != 15*time.Minute {
		t.Errorf("K3s waits for 15 minutes, and not for %s", patience)
	}
	config := etcdConfig("a-12345678", "10.0.0.1")
	if config.TickMs != 500 || config.ElectionMs != 5000 {
		t.Errorf("a leader is missed after %d ms, heartbeats are %d ms apart", config.ElectionMs, config.TickMs)
	}
}
