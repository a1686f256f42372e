//! Fuzz target: `checks::must_fail`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    checks::must_fail(bytes);
});
