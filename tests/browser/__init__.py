"""Tests of the sandbox in a real browser."""
