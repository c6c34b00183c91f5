"""A server to develop and test against: it believes everybody and keeps nothing."""
