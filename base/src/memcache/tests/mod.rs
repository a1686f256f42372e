//! Memcached in the simulator: what Swift's client would say, and what must hold whatever the servers do.

mod exchanges;
mod fake;
mod storm;
mod vectors;
