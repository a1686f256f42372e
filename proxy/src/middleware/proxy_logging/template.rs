//! Core: `log_msg_template`: text with fields in braces, in the language of Python's format strings as far as Swift's fields go.
//!
//! ```text
//! {client_ip}             the value, percent-encoded; `-` when there is none, or it is zero
//! {client_ip.anonymized}  its hash, as `log_anonymization_method` says
//! {end_time.datetime}     a part or a form of a time
//! {{ }}                   the braces themselves
//! ```
//!
//! Everything but letters, digits and `_.-~:/{}` is percent-encoded in a value, so a line can be split at its blanks.

use super::anonymize::Anonymizer;
use super::time;
use std::cell::Cell;
use std::time::Duration;

/// Swift's default.
pub(crate) const DEFAULT: &str = "{client_ip} {remote_addr} {end_time.datetime} {method} {path} {protocol} {status_int} {referer} \
    {user_agent} {auth_token} {bytes_recvd} {bytes_sent} {client_etag} {transaction_id} {headers} {request_time} {source} {log_info} \
    {start_time} {end_time} {policy_index} {access_user_id}";

/// What a line can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    EndTime,
    StartTime,
    ClientIp,
    RemoteAddr,
    Domain,
    Path,
    Referer,
    UserAgent,
    Headers,
    ClientEtag,
    Account,
    Container,
    Object,
    Method,
    Protocol,
    StatusInt,
    AuthToken,
    BytesRecvd,
    BytesSent,
    TransactionId,
    RequestTime,
    Source,
    LogInfo,
    PolicyIndex,
    Ttfb,
    Pid,
    WireStatusInt,
    AccessUserId,
}

/// What can be asked of a field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Time,
    /// Tells something about a person.
    Personal,
    Plain,
}

const FIELDS: [(&str, Field, Kind); 28] = [
    ("end_time", Field::EndTime, Kind::Time),
    ("start_time", Field::StartTime, Kind::Time),
    ("client_ip", Field::ClientIp, Kind::Personal),
    ("remote_addr", Field::RemoteAddr, Kind::Personal),
    ("domain", Field::Domain, Kind::Personal),
    ("path", Field::Path, Kind::Personal),
    ("referer", Field::Referer, Kind::Personal),
    ("user_agent", Field::UserAgent, Kind::Personal),
    ("headers", Field::Headers, Kind::Personal),
    ("client_etag", Field::ClientEtag, Kind::Personal),
    ("account", Field::Account, Kind::Personal),
    ("container", Field::Container, Kind::Personal),
    ("object", Field::Object, Kind::Personal),
    ("method", Field::Method, Kind::Plain),
    ("protocol", Field::Protocol, Kind::Plain),
    ("status_int", Field::StatusInt, Kind::Plain),
    ("auth_token", Field::AuthToken, Kind::Plain),
    ("bytes_recvd", Field::BytesRecvd, Kind::Plain),
    ("bytes_sent", Field::BytesSent, Kind::Plain),
    ("transaction_id", Field::TransactionId, Kind::Plain),
    ("request_time", Field::RequestTime, Kind::Plain),
    ("source", Field::Source, Kind::Plain),
    ("log_info", Field::LogInfo, Kind::Plain),
    ("policy_index", Field::PolicyIndex, Kind::Plain),
    ("ttfb", Field::Ttfb, Kind::Plain),
    ("pid", Field::Pid, Kind::Plain),
    ("wire_status_int", Field::WireStatusInt, Kind::Plain),
    ("access_user_id", Field::AccessUserId, Kind::Personal),
];

/// How a field is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Plain,
    Anonymized,
    Time(time::Form),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(Field, Form),
}

/// Space for a value that a core keeps from line to line.
const VALUE_BYTES_MAX: usize = 8 * 1024;

thread_local! {
    static VALUE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A template, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

/// What a line is made of.
pub(super) trait Values {
    /// Appends the field's value, nothing when there is none; not asked for times.
    fn put(&self, field: Field, out: &mut Vec<u8>);
    /// Since 1970.
    fn time(&self, field: Field) -> Duration;
}

impl Template {
    /// The error says what cannot be read.
    pub fn parse(text: &str) -> Result<Template, String> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        // Ends: each turn takes at least one character.
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            plain.push_str(before);
            if let Some(behind) = from.strip_prefix("{{").or_else(|| from.strip_prefix("}}")) {
                plain.push_str(from.get(..1).unwrap_or_default());
                rest = behind;
                continue;
            }
            let inner = from.strip_prefix('{').and_then(|inner| inner.split_once('}'));
            let (name, behind) = inner.ok_or("a brace that stands alone must be written twice")?;
            parts.push(Part::Text(std::mem::take(&mut plain)));
            parts.push(part(name)?);
            rest = behind;
        }
        plain.push_str(rest);
        parts.push(Part::Text(plain));
        Ok(Template(parts))
    }

    /// Appends the line, without its end.
    pub(super) fn render(&self, anonymizer: &Anonymizer, values: &impl Values, line: &mut Vec<u8>) {
        let mut value = VALUE.take();
        for part in &self.0 {
            value.clear();
            match part {
                Part::Text(text) => line.extend_from_slice(text.as_bytes()),
                Part::Field(field, Form::Time(form)) => {
                    form.write(values.time(*field), &mut value);
                    quote_into(line, &value);
                }
                Part::Field(field, form) => {
                    values.put(*field, &mut value);
                    match form {
                        _ if value.is_empty() => line.push(b'-'),
                        Form::Anonymized => quote_into(line, anonymizer.hash(&value).as_bytes()),
                        _ => quote_into(line, &value),
                    }
                }
            }
        }
        if value.capacity() <= VALUE_BYTES_MAX {
            VALUE.set(value);
        }
    }
}

/// `name` or `name.form`.
fn part(text: &str) -> Result<Part, String> {
    let (name, form) = text.split_once('.').map_or((text, None), |(name, form)| (name, Some(form)));
    let found = FIELDS.iter().find(|(known, ..)| *known == name);
    let (_, field, kind) = found.ok_or_else(|| format!("there is no field {{{name}}}"))?;
    let form = match (kind, form) {
        (Kind::Time, None) => Form::Time(time::Form::Seconds),
        (Kind::Time, Some(form)) => Form::Time(time::Form::from_name(form).ok_or_else(|| unknown(text))?),
        (_, None) => Form::Plain,
        (Kind::Personal, Some("anonymized")) => Form::Anonymized,
        (_, Some(_)) => return Err(unknown(text)),
    };
    Ok(Part::Field(*field, form))
}

fn unknown(text: &str) -> String {
    format!("there is no form {{{text}}} of this field")
}

fn quote_into(line: &mut Vec<u8>, value: &[u8]) {
    const HEX: [u8; 16] = *b"0123456789ABCDEF";
    let is_plain = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'~' | b':' | b'/' | b'{' | b'}')
    };
    // Nearly all are; all of their bytes are looked at, so that the compiler can take many at once.
    if value.iter().fold(true, |plain, &byte| plain & is_plain(byte)) {
        return line.extend_from_slice(value);
    }
    let mut rest = value;
    // Ends: every turn but the last takes a byte.
    while let Some(at) = rest.iter().position(|&byte| !is_plain(byte))
        && let (plain, [byte, behind @ ..]) = rest.split_at(at)
    {
        let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or_default();
        line.extend_from_slice(plain);
        line.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        rest = behind;
    }
    line.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Known;

    impl Values for Known {
        fn put(&self, field: Field, out: &mut Vec<u8>) {
            out.extend_from_slice(match field {
                Field::Path => b"/v1/a/c o?x={y}\n",
                Field::ClientIp => b"1.2.3.4",
                _ => b"",
            });
        }
        fn time(&self, _: Field) -> Duration {
            Duration::new(1_400_000_000, 123_456_789)
        }
    }

    fn line(template: &str) -> String {
        let anonymizer = Anonymizer::new("MD5", "salt").unwrap();
        let mut line = Vec::new();
        Template::parse(template).unwrap().render(&anonymizer, &Known, &mut line);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn fields_are_replaced_and_encoded() {
        assert_eq!(line("{path} {client_ip}"), "/v1/a/c%20o%3Fx%3D{y}%0A 1.2.3.4");
        assert_eq!(line("{{{client_ip}}} {referer}{referer.anonymized}"), "{1.2.3.4} --");
        assert_eq!(line("{end_time} {start_time.ms}"), "1400000000.123456789 123");
        assert_eq!(line("no field"), "no field");
        // Made by Python: hashlib.md5(b'salt1.2.3.4').hexdigest().
        assert_eq!(line("{client_ip.anonymized}"), "{SMD5}5b844521b5df2d155cdf6c9915a16459");
    }

    #[test]
    fn every_field_of_swift_is_known() {
        assert_eq!(
            Template::parse(DEFAULT).unwrap().0.iter().filter(|part| matches!(part, Part::Field(..))).count(),
            22
        );
        for (name, _, kind) in FIELDS {
            assert!(Template::parse(&format!("{{{name}}}")).is_ok());
            let is_personal = Template::parse(&format!("{{{name}.anonymized}}")).is_ok();
            assert_eq!(is_personal, kind == Kind::Personal, "{name}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for text in
            ["{", "}", "{path", "path}", "{nothing}", "{}", "{path.upper}", "{end_time.never}", "{path:>9}", "{path!r}"]
        {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }
}
