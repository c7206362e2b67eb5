"""The version of what plugins are written against, where the window can read it without importing any of it."""

API_VERSION = 1
