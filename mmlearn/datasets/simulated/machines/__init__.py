"""Rotating machines: vibration, temperature and speed as their bearings wear."""
