"""Image files: opened, converted, written sparse, compared."""
