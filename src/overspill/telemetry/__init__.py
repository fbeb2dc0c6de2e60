"""What is happening now, shown to operators: metrics and logs."""
