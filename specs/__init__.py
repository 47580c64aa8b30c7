"""Runnable specs, one question each. Installed, this folder is `moframework.specs`; list them with `moframework
specs`."""
