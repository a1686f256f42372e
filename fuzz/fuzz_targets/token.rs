//! Fuzz target: `checks::token`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    checks::token(bytes);
});
