//! What the executable `martlet` is made of: the dev cluster, the operator's commands, the simulated cluster.

pub mod ring_command;
pub mod sim;
