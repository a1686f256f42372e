//! Tests of the container service.
