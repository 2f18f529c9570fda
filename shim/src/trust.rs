//! Owner and mode checks of files and of every directory above them.
