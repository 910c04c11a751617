"""The command lines of simulated devices: what can be typed, and the terminal it is typed at."""
