//! Core: signed requests of S3 with its names in the path, so that S3 stores can be measured beside Swift.
//!
//! Source: AWS Signature Version 4, "Authenticating Requests: Using the Authorization Header", Amazon S3 API reference. Bodies are not hashed
//! (`UNSIGNED-PAYLOAD`), so that what is measured is the server. Paths and queries are signed as they are: names of the benchmark need no quoting.

use base::checksum::hex;
use base::http::{RequestHead, date};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::fmt;
use std::time::Duration;

const PAYLOAD: &str = "UNSIGNED-PAYLOAD";
/// What the signature is about beside method, path and query.
const SIGNED: &str = "host;x-amz-content-sha256;x-amz-date";

/// Who signs.
#[derive(Clone)]
pub struct Signer {
    /// Access key.
    pub id: String,
    /// Secret key.
    pub secret: String,
    /// Region that the store says it is in.
    pub region: String,
}

/// Without the secret.
impl fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Signer").field("id", &self.id).field("region", &self.region).finish_non_exhaustive()
    }
}

impl Signer {
    /// With the keys that S3's own tools use.
    pub fn of_environment() -> Result<Signer, String> {
        let word = |name: &str| std::env::var(name).map_err(|_| format!("{name} is not set"));
        let region = std::env::var("AWS_REGION").unwrap_or_else(|_| "us-east-1".to_owned());
        Ok(Signer { id: word("AWS_ACCESS_KEY_ID")?, secret: word("AWS_SECRET_ACCESS_KEY")?, region })
    }

    /// Adds time and signature; `now` is the time since 1970. The head has its `Host` already, and the words of its query are sorted.
    pub(crate) fn sign(&self, head: &mut RequestHead, now: Duration) {
        let seconds = now.as_secs();
        let ((year, month, day), second) = (date::civil(seconds), seconds % 86_400);
        let today = format!("{year:04}{month:02}{day:02}");
        let time = format!("{today}T{:02}{:02}{:02}Z", second / 3600, second / 60 % 60, second % 60);
        let scope = format!("{today}/{}/s3/aws4_request", self.region);

        let target = String::from_utf8_lossy(head.target.as_ref());
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let (method, host) = (head.method.as_str(), head.headers.get_str("Host").unwrap_or_default());
        let fields = format!("host:{host}\nx-amz-content-sha256:{PAYLOAD}\nx-amz-date:{time}\n");
        let canonical = format!("{method}\n{path}\n{query}\n{fields}\n{SIGNED}\n{PAYLOAD}");
        let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(&Sha256::digest(canonical)));

        let first = format!("AWS4{}", self.secret).into_bytes();
        let key = [&today, &self.region, "s3", "aws4_request"].iter().fold(first, |key, word| mac(&key, word));
        let signature = hex(&mac(&key, &to_sign));
        let id = &self.id;
        let words = format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={SIGNED}, Signature={signature}");
        head.headers.set("X-Amz-Date", time);
        head.headers.set("X-Amz-Content-Sha256", PAYLOAD);
        head.headers.set("Authorization", words);
    }
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::http::Method;

    /// Signatures that botocore 1.44 makes of the same requests (`S3SigV4Auth`, payload signing off).
    #[test]
    fn signatures_are_those_of_another_client() {
        let signer = Signer { id: "GK0001".to_owned(), secret: "s3cr3t/+=".to_owned(), region: "garage".to_owned() };
        let check = |method, target: &str, expected: &str| {
            let mut head = RequestHead::new(method, target.to_owned());
            head.headers.set("Host", "127.0.0.1:3900");
            signer.sign(&mut head, Duration::from_secs(1_795_772_584));
            assert_eq!(head.headers.get_str("X-Amz-Date"), Some("20261127T094304Z"));
            let words = head.headers.get_str("Authorization").unwrap();
            let scope = "AWS4-HMAC-SHA256 Credential=GK0001/20261127/garage/s3/aws4_request";
            assert_eq!(words, format!("{scope}, SignedHeaders={SIGNED}, Signature={expected}"), "{target}");
        };
        check(Method::Get, "/bucket/get-4k-000001", "80b726b4ea61e7ab787546af53df6e31db5be19b28159d496011a1acd1f9aa88");
        check(Method::Put, "/bucket/put-4k-000001", "a136ffd5a6117dbde6958d7eaea4139cce42b462b8e68dc33bdab53cfdb18cff");
        check(
            Method::Get,
            "/bucket?list-type=2&max-keys=100&start-after=o-000099",
            "97f3576e07f09e17d180d08cff0ef20b1adaec186f5c092db2f58f6af02765ea",
        );
        assert!(!format!("{signer:?}").contains("s3cr3t"));
    }
}
