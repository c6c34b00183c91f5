"""The only place that names concrete engines, stores and databases."""
