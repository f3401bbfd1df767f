"""Batched products of strided matrices; nothing for Python."""
