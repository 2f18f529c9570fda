//! What leaves the program: results, errors and their codes.
