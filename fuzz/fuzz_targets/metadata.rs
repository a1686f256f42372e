//! Fuzz target: `checks::metadata`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    checks::metadata(bytes);
});
