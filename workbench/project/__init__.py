"""The document the user saves."""
