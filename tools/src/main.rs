//! The one executable: daemons, dev cluster, operator's tools.

fn main() {}
