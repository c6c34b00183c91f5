"""How answers are printed: json, text, table, yaml."""
