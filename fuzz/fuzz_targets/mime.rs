//! Fuzz target: `checks::mime`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    checks::mime(bytes);
});
