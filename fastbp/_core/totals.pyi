"""Elementwise work that ends in sums."""
