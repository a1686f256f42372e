//! Fuzz target: `checks::volume_header`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    checks::volume_header(bytes);
});
