"""Files: written whole or not at all, read without executing anything. It knows nothing of what they hold."""
