"""Made by a program whose every step is known, so that the right answer is, too."""
