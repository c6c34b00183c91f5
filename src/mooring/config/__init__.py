"""The settings of the server: what there is, how it is read, what is allowed."""
