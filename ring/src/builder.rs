//! Core: the ring builder: devices and weights in, assignments out (specs: ring §6).
