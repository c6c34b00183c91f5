"""The framework of jobs: taking, repeating, recording, undoing."""
