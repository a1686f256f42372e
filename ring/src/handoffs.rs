//! Core: Swift's order of handoff devices (specs: ring §4).
