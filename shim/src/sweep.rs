//! Which records are to be closed although no DEL came.
