//! CNI versions and conversion of results between them.
