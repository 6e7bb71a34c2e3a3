"""What every suite shares: its contract, fresh processes, sampling, the correctness check, memory, GPU and energy."""
