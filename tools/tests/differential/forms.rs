//! Browsers' forms with a signature, well and badly made.

use super::Generator;
use super::features::{KEY, mac};
use crate::wire::Request;
use base::quote::unquote;
use hmac::Hmac;
use sha1::Sha1;
use sha2::{Sha256, Sha512};

const BOUNDARY: &str = "----form7b";

impl Generator {
    pub(super) fn form(&mut self, request: &mut Request) {
        request.method = "POST";
        let mut path = self.path(false);
        path.push_str(self.one(&["", "/", "/form-", "/p/", "/two%20"]));
        if self.chance(4) {
            path = self.one(&["/v1/AUTH_test", "/v1/AUTH_test/", "/v1/nobody/c/"]).to_owned();
        }
        if self.chance(80) {
            request.user = None;
        }
        let kind = match self.random.below(14) {
            0 => format!("multipart/form-data; boundary=\"{BOUNDARY}\""),
            1 => format!("multipart/form-data;boundary={BOUNDARY}; charset=utf-8"),
            2 => format!("multipart/form-data; boundary={BOUNDARY}x"),
            3 => "multipart/form-data".to_owned(),
            4 => format!("Multipart/Form-Data; boundary={BOUNDARY}"),
            5 => format!("multipart/mixed; boundary={BOUNDARY}"),
            _ => format!("multipart/form-data; boundary={BOUNDARY}"),
        };
        Self::set(request, "Content-Type", kind);
        request.body = self.form_body(&path);
        request.target = path;
        if self.chance(10) {
            request.target.push_str("?unknown=1");
        }
        request.chunked = self.chance(20);
    }

    fn form_body(&mut self, path: &str) -> Vec<u8> {
        let redirect =
            self.one(&["", "", "https://web.example/done", "https://web.example/?x=1", "http://a.example/\u{e7}"]);
        let size = self.one(&["12", "12", "13", "11", "0", "", "abc", "-1", "99999999999999999999"]);
        let count = self.one(&["2", "2", "1", "3", "0", "", "abc"]);
        let expires = if self.chance(88) { "4102444800" } else { self.one(&["1", "", "abc", "4102444800.5", "0"]) };
        let path = String::from_utf8_lossy(&unquote(path.as_bytes())).into_owned();
        let or_zero = |text: &'static str| if text.is_empty() { "0" } else { text };
        let message = format!("{path}\n{redirect}\n{}\n{}\n{}", or_zero(size), or_zero(count), or_zero(expires));
        let (key, message) = (KEY.as_bytes(), message.as_bytes());
        let signature = match self.random.below(12) {
            0..=2 => mac::<Hmac<Sha1>>(key, message),
            3 => mac::<Hmac<Sha512>>(key, message),
            4 => format!("sha256:{}", mac::<Hmac<Sha256>>(key, message)),
            5 => format!("sha1:{}", mac::<Hmac<Sha256>>(key, message)),
            6 => self.one(&["", "abc", "md5:abc", "sha512:"]).to_owned(),
            _ => mac::<Hmac<Sha256>>(key, message),
        };
        let mut fields = vec![
            ("redirect", redirect.to_owned()),
            ("max_file_size", size.to_owned()),
            ("max_file_count", count.to_owned()),
            ("expires", expires.to_owned()),
            ("signature", signature),
        ];
        if self.chance(12) {
            let lost = self.random.index(fields.len());
            fields.remove(lost);
        }
        if self.chance(12) {
            let value = self.one(&["4102444800", "abc", "1", "", "-1"]);
            fields.push((self.one(&["x_delete_at", "x_delete_after", "X_Delete_At"]), value.to_owned()));
        }
        if self.chance(10) {
            fields.push((self.one(&["content-type", "content-encoding", "Content-Type"]), "text/field".to_owned()));
        }
        let mut body = Vec::new();
        for (name, value) in fields {
            body.extend_from_slice(
                format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
                    .as_bytes(),
            );
        }
        for file in 0..self.random.below(4) {
            self.form_file(&mut body, file);
        }
        body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
        body
    }

    fn form_file(&mut self, body: &mut Vec<u8>, number: u64) {
        let name = match self.random.below(10) {
            0 => "one".to_owned(),
            1 => String::new(),
            2 => "a/b c".to_owned(),
            3 => "\u{e7}.txt".to_owned(),
            4 => "n".repeat(1025),
            _ => format!("file{number}.txt"),
        };
        let mut fields = format!("Content-Disposition: form-data; name=\"file{number}\"; filename=\"{name}\"\r\n");
        match self.random.below(6) {
            0 => fields.push_str("Content-Type: text/part\r\n"),
            1 => fields.push_str("Content-Type:\r\n"),
            2 => fields.push_str("content-encoding: gzip\r\n"),
            3 => fields.push_str("X-Object-Meta-Own: no\r\n"),
            _ => {}
        }
        body.extend_from_slice(format!("--{BOUNDARY}\r\n{fields}\r\n").as_bytes());
        body.extend_from_slice(self.one(&["of a form 12", "short", "", "with\r\nlines\r"]).as_bytes());
        body.extend_from_slice(b"\r\n");
    }
}
