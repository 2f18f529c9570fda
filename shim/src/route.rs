//! The routing step of both-mode, over rtnetlink in the pod's netns.
