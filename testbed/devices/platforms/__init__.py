"""One package for each platform; none knows another."""
