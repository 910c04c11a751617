"""Simulated shared media: the driver of a bus."""
