//! Fuzz target: `checks::scanner`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    checks::scanner(bytes);
});
