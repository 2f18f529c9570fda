//! One whole network as libcni would run it: its chain of plugins, forwards and in reverse.
