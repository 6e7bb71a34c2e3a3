"""What models are trained and measured on: files, read into arrays."""
