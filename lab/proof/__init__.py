"""What proves a tree: checks, suites of tests, and what is generated."""
