"""Tests on real hosts: `make lab-test`."""
