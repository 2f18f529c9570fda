//! A CNI runtime of ours: calls plugins as libcni does.
