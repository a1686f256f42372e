//! Fuzz target: `checks::index_value`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    checks::index_value(bytes);
});
