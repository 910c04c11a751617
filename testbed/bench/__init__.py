"""A plan's bench: its topology on real gear, its hosts, captures, faults and expectations."""
