"""Screens and lists for people."""
