"""What knows nothing about networks: errors, files, devices, random numbers, hooks."""
