// A program for pods of tests: `probe serve` answers HTTP on port 8080 with the pod's name; `probe get URL` prints what
// a URL answers and exits with 1 when it does not; `probe resolve NAME` prints a name's addresses.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	switch {
	case len(arguments) == 1 && arguments[0] == "serve":
		return http.ListenAndServe(":8080", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			name, _ := os.Hostname()
			fmt.Fprintf(w, "%s saw %s\n", name, r.RemoteAddr)
		}))
	case len(arguments) == 2 && arguments[0] == "get":
		return get(arguments[1])
	case len(arguments) == 2 && arguments[0] == "resolve":
		addresses, err := net.LookupHost(arguments[1])
		fmt.Println(strings.Join(addresses, "\n"))
		return err
	}
	return fmt.Errorf("usage: probe serve | get URL | resolve NAME")
}

func get(url string) error {
	client := http.Client{Timeout: 10 * time.Second}
	response, err := client.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(os.Stdout, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s", response.Status)
	}
	return nil
}
