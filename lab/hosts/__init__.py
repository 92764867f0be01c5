"""Machines: namespaces with systemd, sshd and faults on demand."""
