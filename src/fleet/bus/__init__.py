"""The typed key-value bucket that operator and agents meet in."""
