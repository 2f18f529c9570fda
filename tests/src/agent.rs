//! Stand-in CNI agents: late, early, greedy for the conf directory, answering probes.
