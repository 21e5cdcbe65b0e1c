"""Settings of this course for nbgrader; every one is described in its documentation."""

import os

c = get_config()  # noqa: F821, nbgrader defines it

c.CourseDirectory.course_id = "mmlearn"

# Seconds that one cell may take when a submission is graded.
c.ExecutePreprocessor.timeout = 120

# A grader must not download: without data, the package's stand-ins take their place.
os.environ.setdefault("MMLEARN_OFFLINE", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# A class on one JupyterHub: a folder that all its users can write to.
# c.Exchange.root = "/srv/nbgrader/exchange"
