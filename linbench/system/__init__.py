"""What this process may use of the machine (processors, threads, memory), and files that others wrote or share."""
