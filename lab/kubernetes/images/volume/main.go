// The program of the pods that make and remove the folders of volumes, in place of K3s' shell scripts: local-path-provisioner
// starts it as `volume -p FOLDER -s BYTES -m MODE -a create|delete`.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

func main() {
	folder := flag.String("p", "", "the volume's folder")
	action := flag.String("a", "", "create or delete")
	flag.String("s", "", "its size, which nothing enforces, as in K3s")
	flag.String("m", "", "its mode")
	flag.Parse()
	if err := run(*action, *folder); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(action, folder string) error {
	switch action {
	case "create":
		syscall.Umask(0)
		if err := os.MkdirAll(folder, 0o777); err != nil {
			return err
		}
		// A volume is its pod's, whoever that is; other users of the host do not get so far.
		return os.Chmod(filepath.Dir(folder), 0o700)
	case "delete":
		return os.RemoveAll(folder)
	}
	return fmt.Errorf("unknown action %q", action)
}
