"""A Python language host for machines without the official one."""
