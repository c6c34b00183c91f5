"""Rows of each table: in, values out."""
