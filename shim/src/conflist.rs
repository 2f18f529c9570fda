//! Network configurations on disk: conf, conflist, sub-folder plugins, capabilities.
