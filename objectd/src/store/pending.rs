//! Core: the record of a container update that could not be sent: `async_pending/<suffix>/<hash>-<timestamp>` (specs: diskfile §7).
//!
//! Swift writes protocol 0 with its own dict class for the headers; its updater reads plain dicts of any protocol, so a record is
//! written as protocol 2 with plain dicts and text. Text is what it says; header values are, as everywhere in Swift, the latin-1
//! decoding of their bytes.

use super::pickle::{self, Value};
use base::hash_path::HashPath;
use base::timestamp::Timestamp;
use bytes::Bytes;

/// A row to be written in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// PUT or DELETE of the row.
    pub operation: Operation,
    /// Account of the row.
    pub account: String,
    /// Container of the row.
    pub container: String,
    /// Name of the row.
    pub object: String,
    /// Headers for the container server.
    pub headers: Vec<(Bytes, Bytes)>,
    /// What the proxy knew of the container's sharding.
    pub db_state: Option<String>,
    /// `<account>/<container>` of the shard to send to instead.
    pub container_path: Option<String>,
    /// Ids of the container ring's devices that have it.
    pub successes: Vec<i64>,
    /// Container paths tried before.
    pub redirect_history: Vec<String>,
}

/// What is done to the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Written.
    Put,
    /// Deleted.
    Delete,
}

impl Pending {
    /// A header.
    pub fn header(&self, name: &str) -> Option<&Bytes> {
        self.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }

    /// The time in the name of the file: X-Meta-Timestamp if there, else X-Timestamp.
    pub fn timestamp(&self) -> Timestamp {
        let time = |name| {
            self.header(name)
                .and_then(|value| std::str::from_utf8(value).ok())
                .and_then(|text| Timestamp::parse(text).ok())
        };
        time("X-Meta-Timestamp").or_else(|| time("X-Timestamp")).unwrap_or(Timestamp::ZERO)
    }

    /// Suffix directory and name of the file.
    pub fn place(&self, hash_path: &HashPath) -> (String, String) {
        let hash = hash_path.hash(&self.account, Some(&self.container), Some(&self.object));
        (hash.suffix(), format!("{}-{}", hash.hex(), self.timestamp().internal()))
    }

    /// Account and container to send to.
    pub fn target(&self) -> (&str, &str) {
        let path = self.container_path.as_deref().and_then(|path| path.split_once('/'));
        path.unwrap_or((&self.account, &self.container))
    }

    /// The bytes of the file.
    pub fn encode(&self) -> Vec<u8> {
        let text = |text: &str| Value::text(text);
        let latin = |bytes: &Bytes| Value::Text(pickle::from_latin1(bytes));
        let optional = |value: &Option<String>| value.as_deref().map_or(Value::None, Value::text);
        let operation = match self.operation {
            Operation::Put => "PUT",
            Operation::Delete => "DELETE",
        };
        let headers = self.headers.iter().map(|(name, value)| (latin(name), latin(value))).collect();
        let mut items = vec![
            (text("op"), text(operation)),
            (text("account"), text(&self.account)),
            (text("container"), text(&self.container)),
            (text("obj"), text(&self.object)),
            (text("headers"), Value::Dict(headers)),
            (text("db_state"), optional(&self.db_state)),
        ];
        if self.container_path.is_some() {
            items.push((text("container_path"), optional(&self.container_path)));
        }
        if !self.successes.is_empty() {
            items.push((text("successes"), Value::List(self.successes.iter().copied().map(Value::Int).collect())));
        }
        if !self.redirect_history.is_empty() {
            let history = self.redirect_history.iter().map(|path| text(path)).collect();
            items.push((text("redirect_history"), Value::List(history)));
        }
        pickle::write(&Value::Dict(items))
    }

    /// Reads a file; `Err` says why it goes to quarantine.
    pub fn decode(bytes: &[u8]) -> Result<Pending, &'static str> {
        let record = pickle::read(bytes).map_err(|error| error.message)?;
        let required = |key| text_of(record.get(key)).flatten().ok_or("a name is missing");
        let optional = |key| text_of(record.get(key)).ok_or("something that is no text");
        let operation = match record.get("op").and_then(Value::as_bytes) {
            Some(b"PUT") => Operation::Put,
            Some(b"DELETE") => Operation::Delete,
            _ => return Err("an unknown operation"),
        };
        let Some(Value::Dict(items)) = record.get("headers") else { return Err("no headers") };
        let mut headers = Vec::with_capacity(items.len());
        for (name, value) in items {
            let (Some(name), Some(value)) = (header_bytes(name), header_bytes(value)) else {
                return Err("a header that is no text");
            };
            headers.push((name, value));
        }
        Ok(Pending {
            operation,
            account: required("account")?,
            container: required("container")?,
            object: required("obj")?,
            headers,
            db_state: optional("db_state")?,
            container_path: optional("container_path")?,
            successes: list(record.get("successes"), |item| match item {
                Value::Int(id) => Some(*id),
                _ => None,
            })?,
            redirect_history: list(record.get("redirect_history"), |item| text_of(Some(item)).flatten())?,
        })
    }
}

/// `None` when it is something else than text; `Some(None)` when it is missing or None.
fn text_of(value: Option<&Value>) -> Option<Option<String>> {
    match value {
        None | Some(Value::None) => Some(None),
        Some(value) => String::from_utf8(value.as_bytes()?.to_vec()).ok().map(Some),
    }
}

/// Header text is the latin-1 decoding of its bytes; what cannot be that is kept as UTF-8. CR, LF and NUL are refused.
fn header_bytes(value: &Value) -> Option<Bytes> {
    let bytes = match value {
        Value::Text(text) => pickle::to_latin1(text).unwrap_or_else(|| text.clone()),
        Value::Bytes(bytes) => bytes.clone(),
        Value::Int(number) => number.to_string().into_bytes(),
        _ => return None,
    };
    (!bytes.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0))).then(|| Bytes::from(bytes))
}

fn list<T>(value: Option<&Value>, item: impl Fn(&Value) -> Option<T>) -> Result<Vec<T>, &'static str> {
    match value {
        None | Some(Value::None) => Ok(Vec::new()),
        Some(Value::List(items) | Value::Tuple(items)) => {
            items.iter().map(|value| item(value).ok_or("a list of something else")).collect()
        }
        Some(_) => Err("no list"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value as Json;
    use std::path::Path;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the vectors are files of the source tree")]
    fn records_written_by_swift_are_read_and_written_back() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/vectors/async_pending");
        let read = |name: &str| std::fs::read(directory.join(name)).unwrap();
        let index: Json = serde_json::from_slice(&read("index.json")).unwrap();
        let (mut accepted, mut refused) = (0, 0);
        for case in index.as_array().unwrap() {
            let file = case["file"].as_str().unwrap();
            let record = Pending::decode(&read(file));
            if case["accepted"] == Json::Bool(false) {
                assert!(record.is_err(), "{file}");
                refused += 1;
                continue;
            }
            let record = record.unwrap();
            assert_eq!(Pending::decode(&record.encode()), Ok(record.clone()), "{file}");
            assert!(file.ends_with(&record.timestamp().internal()), "{file}");
            accepted += 1;
            let Json::Object(wanted) = &case["decoded"] else { continue };
            assert_eq!(wanted["account"].as_str(), Some(record.account.as_str()));
            assert_eq!(wanted["obj"].as_str(), Some(record.object.as_str()));
            assert_eq!(wanted["headers"].as_object().unwrap().len(), record.headers.len());
            for (name, value) in wanted["headers"].as_object().unwrap() {
                assert_eq!(
                    record.header(name).map(|bytes| bytes.to_vec()),
                    Some(value.as_str().unwrap().as_bytes().to_vec())
                );
            }
            assert_eq!(wanted.get("container_path").and_then(Json::as_str), record.container_path.as_deref());
            let successes = wanted.get("successes").and_then(Json::as_array).map_or(0, Vec::len);
            assert_eq!(successes, record.successes.len());
        }
        assert!(accepted >= 15 && refused == 2, "{accepted} {refused}");
    }
}
