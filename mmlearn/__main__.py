"""`python -m mmlearn VERB`: handed over to the course's command line."""

import sys

from mmlearn_course.cli import main

if __name__ == "__main__":
    sys.exit(main())
