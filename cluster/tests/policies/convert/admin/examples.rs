//! Examples, with the objects and the verdicts that are to come of them.
