"""Labs: what turns an inventory into running gear."""
