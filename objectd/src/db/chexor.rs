//! Core: Swift's running hash of a database: the XOR of one MD5 per row. Replicators compare it before they send rows.

use base::checksum::Md5Hasher;

/// XORs a row into (or out of) `hash`: MD5 of name, `-` and the row's times as stored.
pub fn toggle(hash: &mut [u8; 16], name: &str, times: &str) {
    let mut md5 = Md5Hasher::new();
    md5.update(name.as_bytes());
    md5.update(b"-");
    md5.update(times.as_bytes());
    for (byte, other) in hash.iter_mut().zip(md5.finish()) {
        *byte ^= other;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::checksum::hex;

    #[test]
    fn agrees_with_swift() {
        let mut hash = [0; 16];
        toggle(&mut hash, "o", "1795344001.00000");
        assert_eq!(hex(&hash), "2d46b55768f77e152431e1bf2146b05a");
        toggle(&mut hash, "ü☃", "1795344002.00000+186a0+0");
        assert_eq!(hex(&hash), "e796f5309b7bee1aff25dc9b4a7bba3e");
        toggle(&mut hash, "ü☃", "1795344002.00000+186a0+0");
        toggle(&mut hash, "o", "1795344001.00000");
        assert_eq!(hash, [0; 16]);
    }
}
