"""The search: from a study to a front of measured files."""
