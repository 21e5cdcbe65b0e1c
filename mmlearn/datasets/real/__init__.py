"""Recorded from the world: pictures, notes, sensors."""
