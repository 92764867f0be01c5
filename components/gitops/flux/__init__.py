"""Flux: the cluster pulls its workloads from a source that is verified."""
