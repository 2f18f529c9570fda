//! Local cleaning of an attachment whose network is retired and cannot do it itself.
