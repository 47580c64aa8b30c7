"""Faults made on purpose, in large numbers: what becomes of specs, tables, files and runs that are damaged."""
