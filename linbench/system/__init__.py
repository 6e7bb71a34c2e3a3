"""What of the machine this process may use: processors, threads and memory."""
