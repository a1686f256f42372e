//! Core: what a form says about itself, and whether somebody who may say so has signed it.

use super::{Refused, text};
use crate::middleware::tempurl::signature::{Digest, Signature};
use base::http::Headers;
use std::collections::BTreeMap;

/// Values that mean something; others are forgotten at once.
const KNOWN: [&str; 9] = [
    "redirect",
    "max_file_size",
    "max_file_count",
    "expires",
    "signature",
    "x_delete_at",
    "x_delete_after",
    "content-type",
    "content-encoding",
];

/// What a key opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Account,
    Container,
}

/// The values read so far and who could have signed them.
pub(super) struct Claim {
    address: Vec<u8>,
    keys: Vec<(Vec<u8>, Scope)>,
    allowed_digests: Vec<Digest>,
    values: BTreeMap<&'static str, String>,
}

impl Claim {
    pub(super) fn new(address: Vec<u8>, keys: Vec<(Vec<u8>, Scope)>, allowed_digests: Vec<Digest>) -> Claim {
        Claim { address, keys, allowed_digests, values: BTreeMap::new() }
    }

    /// Takes a value; the last of a name counts.
    pub(super) fn set(&mut self, name: &str, value: Vec<u8>) -> Result<(), Refused> {
        let Some(known) = KNOWN.iter().find(|known| **known == name) else { return Ok(()) };
        let value = String::from_utf8(value).map_err(|_| Refused::Invalid("values must be UTF-8"))?;
        // As Swift, which forgives a form that ends its last value with the boundary's dashes.
        self.values.insert(known, value.trim_end_matches(['\r', '\n', '-']).to_owned());
        Ok(())
    }

    /// A value; empty where there is none.
    pub(super) fn get(&self, name: &str) -> &str {
        self.values.get(name).map_or("", String::as_str)
    }

    /// A value that must be a whole number where it is there.
    pub(super) fn number(&self, name: &'static str) -> Result<Option<i64>, Refused> {
        let Some(value) = self.values.get(name) else { return Ok(None) };
        let may_be_empty = matches!(name, "max_file_size" | "max_file_count" | "expires");
        if value.is_empty() && may_be_empty {
            return Ok(Some(0));
        }
        integer(value).map(Some).ok_or(Refused::Invalid(match name {
            "max_file_size" => "max_file_size not an integer",
            "max_file_count" => "max_file_count not an integer",
            "x_delete_at" => "x_delete_at not an integer: Unix timestamp required.",
            "x_delete_after" => "x_delete_after not an integer: Number of seconds required.",
            _ => "expired not an integer",
        }))
    }

    /// Refuses a form that no key can have signed; asked first.
    pub(super) fn need_keys(&self) -> Result<(), Refused> {
        if self.keys.is_empty() { Err(Refused::Unauthorized(INVALID)) } else { Ok(()) }
    }

    /// The fields of an object made of a file with these fields.
    pub(super) fn headers(&self, part: &Headers) -> Result<Headers, Refused> {
        let mut headers = Headers::new();
        for (value, field) in [("x_delete_at", "X-Delete-At"), ("x_delete_after", "X-Delete-After")] {
            if let Some(number) = self.number(value)? {
                headers.append(field, number.to_string());
            }
        }
        for (value, field, default) in
            [("content-type", "Content-Type", "application/octet-stream"), ("content-encoding", "Content-Encoding", "")]
        {
            let own = part.get(field).map(|own| text(Some(own)).into_owned());
            let Some(said) = self.values.get(value).cloned().or(own) else { continue };
            if said.chars().any(char::is_control) {
                return Err(Refused::Invalid("a value with a line end"));
            }
            headers.append(field, if said.is_empty() { default.to_owned() } else { said });
        }
        Ok(headers)
    }

    /// How far the signature reaches.
    pub(super) fn verify(&self, now: u64) -> Result<Scope, Refused> {
        let expires = self.number("expires")?.unwrap_or(0);
        if u64::try_from(expires).unwrap_or(0) < now {
            return Err(Refused::Unauthorized("form expired"));
        }
        let signature = Signature::parse(self.get("signature")).ok_or(Refused::Unauthorized(INVALID))?;
        if !self.allowed_digests.contains(&signature.digest) {
            return Err(Refused::Unauthorized(INVALID));
        }
        let message = self.message();
        let mut scope = None;
        for (key, opens) in &self.keys {
            // Every key is tried, so that the time tells nothing about which of them fits.
            let fits = signature.fits(key, &message);
            scope = scope.or_else(|| fits.then_some(*opens));
        }
        scope.ok_or(Refused::Unauthorized(INVALID))
    }

    /// What is signed: the values as they were sent.
    fn message(&self) -> Vec<u8> {
        let or = |name: &str, default: &'static str| {
            let value = self.get(name);
            if value.is_empty() { default.to_owned() } else { value.to_owned() }
        };
        let said = format!(
            "\n{}\n{}\n{}\n{}",
            self.get("redirect"),
            or("max_file_size", "0"),
            or("max_file_count", "0"),
            or("expires", "0")
        );
        [self.address.as_slice(), said.as_bytes()].concat()
    }
}

const INVALID: &str = "invalid signature";

/// As Python's `int` reads it, but for underscores; what no `i64` holds becomes the nearest one.
fn integer(value: &str) -> Option<i64> {
    let value = value.trim();
    let digits = value.strip_prefix(['-', '+']).unwrap_or(value);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(value.parse().unwrap_or(if value.starts_with('-') { i64::MIN } else { i64::MAX }))
}
