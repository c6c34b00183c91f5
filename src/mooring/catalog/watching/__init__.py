"""What is remembered by what watches the rest."""
