"""What operator, agent and any third party must agree on; nothing here does I/O."""
