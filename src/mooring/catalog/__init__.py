"""All SQL: rows in, model values out."""
