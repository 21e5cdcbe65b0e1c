"""What instructors use: run, render and check the course's notebooks."""
