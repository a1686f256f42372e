//! The order of the middleware, a reason per line.
