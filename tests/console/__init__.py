"""The ops console in a real browser, against a real service."""
