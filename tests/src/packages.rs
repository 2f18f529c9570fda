//! Real parts from the distribution's packages.
