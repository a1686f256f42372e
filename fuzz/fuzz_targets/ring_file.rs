//! Fuzz target: `checks::ring_file`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    checks::ring_file(bytes);
});
