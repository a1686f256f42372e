//! Checks of what comes from clients and operators.

use base::http::body::{BodyDecoder, Piece};
use base::http::framing;
use base::http::mime::{Event, MimeReader, parameters};
use base::http::parser::{HeadLimits, HeadScanner, parse_request};
use base::memcache::key::WireKey;
use base::memcache::reply::{self, Wanted};
use bytes::BytesMut;
use proxy::middleware::cname_lookup::dns::{Answer, answer, question};
use proxy::middleware::token as tokens;

const LIMITS: HeadLimits = HeadLimits { first_line: 1024, line: 1024, block: 4096, fields: 32 };

/// Requests mean the same however their bytes arrive, body and pipelined requests behind them included.
pub fn http_request(bytes: &[u8]) -> bool {
    let Some((piece, stream)) = bytes.split_first() else { return false };
    let understood = exchange(stream, stream.len().max(1));
    assert_eq!(understood, exchange(stream, usize::from(*piece) + 1));
    understood.len() > 1
}

/// What a server understands of a stream that comes in pieces: a text for each request and one for the end.
fn exchange(stream: &[u8], piece: usize) -> Vec<String> {
    let mut understood = Vec::new();
    let mut pieces = stream.chunks(piece);
    let mut buffer = BytesMut::new();
    loop {
        let mut scanner = HeadScanner::new(LIMITS);
        let block = loop {
            match scanner.scan(&buffer) {
                Ok(Some(block)) => break block,
                Err(refusal) => return refused(understood, "head", refusal.reason),
                Ok(None) => match pieces.next() {
                    Some(more) => buffer.extend_from_slice(more),
                    None => return refused(understood, "head", "it ends"),
                },
            }
        };
        let head = buffer.split_to(block.length).freeze();
        let (head, version) = match parse_request(&head, block.fields) {
            Ok(parsed) => parsed,
            Err(refusal) => return refused(understood, "head", refusal.reason),
        };
        let framing = match framing::request(&head, version) {
            Ok(framing) => framing,
            Err(refusal) => return refused(understood, "framing", refusal.reason),
        };
        let mut body = Vec::new();
        let mut decoder = BodyDecoder::new(framing.body);
        let end = loop {
            match decoder.next(&mut buffer, 4096) {
                Ok(Some(Piece::Data(data))) => body.extend_from_slice(&data),
                Ok(Some(Piece::Trailers(trailers))) => understood.push(format!("{trailers:?}")),
                Ok(Some(Piece::End)) => break None,
                Err(refusal) => break Some(refusal),
                Ok(None) => match pieces.next() {
                    Some(more) => buffer.extend_from_slice(more),
                    None => return refused(understood, "body", "it ends"),
                },
            }
        };
        understood.push(format!("{head:?} {version:?} {framing:?} {body:?}"));
        if end.is_some() {
            // Which of several things is wrong with a body depends on how far it was seen.
            return refused(understood, "body", "refused");
        }
        if !framing.keep_alive {
            return understood;
        }
    }
}

fn refused(mut understood: Vec<String>, what: &str, reason: &str) -> Vec<String> {
    understood.push(format!("{what}: {reason}"));
    understood
}

/// A multipart body has the same parts however its bytes arrive; what is read of it stood in it.
pub fn mime(bytes: &[u8]) -> bool {
    let Some((piece, rest)) = bytes.split_first() else { return false };
    let text = String::from_utf8_lossy(rest);
    let (first, found) = parameters(&text);
    let read = first.len() + found.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
    assert!(read <= text.len(), "more was read than was there");
    // The first line names the boundary, so that bodies can be made that come far.
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    let (boundary, body) = rest.split_at(end);
    let Some(reader) = MimeReader::new(boundary) else { return false };
    let body = body.get(1..).unwrap_or_default();
    let parts = take_apart(reader.clone(), body, body.len().max(1));
    assert_eq!(parts, take_apart(reader, body, usize::from(*piece) + 1));
    parts.is_ok_and(|parts| !parts.is_empty())
}

/// Fields and bytes of each part, or the error, which may depend on how far the body was seen.
fn take_apart(mut reader: MimeReader, body: &[u8], piece: usize) -> Result<Vec<(String, Vec<u8>)>, ()> {
    let (mut pieces, mut parts, mut taken) = (body.chunks(piece), Vec::new(), 0);
    loop {
        match reader.event().map_err(|_| ())? {
            Some(Event::Part(fields)) => parts.push((format!("{fields:?}"), Vec::new())),
            Some(Event::Data(bytes)) => {
                assert!(!bytes.is_empty(), "a piece without bytes");
                taken += bytes.len();
                parts.last_mut().expect("bytes belong to a part").1.extend_from_slice(&bytes);
            }
            Some(Event::PartEnd) => {}
            Some(Event::End) => {
                assert!(taken <= body.len(), "more bytes came out than went in");
                return Ok(parts);
            }
            None => match pieces.next() {
                Some(bytes) => reader.feed(bytes),
                None => reader.end_of_input(),
            },
        }
    }
}

const SWIFT: &str = "[swift-hash]\nswift_hash_path_suffix = something\n";

/// Configuration files are read or refused.
pub fn config(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let is_swift = base::config::SwiftConf::parse("swift.conf", bytes).is_ok();
    if let Ok(config) = base::config::Config::parse("fuzz.conf", &text) {
        for name in config.sections().map(str::to_owned).collect::<Vec<_>>() {
            let section = config.section(&name).expect("it was named");
            let _ = (section.integer("workers", 1, 0..=9), section.seconds("timeout", 1.0), section.unknown());
        }
    }
    let is_proxy = proxy::config::Config::parse("proxy-server.conf", &text, SWIFT).is_ok();
    is_swift | is_proxy | objectd::config::Config::parse("objectd.conf", &text, SWIFT).is_ok()
}

/// A token that is accepted is exactly one that was issued for that user and time.
pub fn token(bytes: &[u8]) -> bool {
    let config = proxy::config::Config::parse(
        "proxy-server.conf",
        "[pipeline:main]\npipeline = tempauth proxy-server\n[filter:tempauth]\nuser_test_tester = testing .admin\n\
         user_test_other = other\ntoken_secret = 000102030405060708090a0b0c0d0e0f\n",
        SWIFT,
    )
    .expect("a good configuration");
    let text = String::from_utf8_lossy(bytes);
    // A genuine one with a few bytes changed.
    let user = config.users.first().expect("two users");
    let mut forged = tokens::issue(&config, user, 0x1234_5678).into_bytes();
    for change in bytes.chunks_exact(2).take(8) {
        let at = usize::from(change[0]) % forged.len();
        forged[at] = change[1];
    }
    let is_forged = check_token(&config, &String::from_utf8_lossy(&forged));
    check_token(&config, &text) | is_forged
}

fn check_token(config: &proxy::config::Config, token: &str) -> bool {
    let Some((user, expires)) = tokens::verify(config, token, 1000) else { return false };
    let digits = token.get("AUTH_tk".len() + 64..).and_then(|rest| rest.get(..10)).expect("an expiry");
    assert_eq!(u64::from_str_radix(digits, 16), Ok(expires));
    assert!(expires > 1000 && !tokens::is_swifts(config, token));
    assert_eq!(token, tokens::issue(config, user, expires));
    true
}

/// A name server's reply gives a name that can be asked for in turn, or none; bytes behind it change nothing.
pub fn dns_reply(bytes: &[u8]) -> bool {
    let id = bytes.first_chunk().map_or(0, |first| u16::from_be_bytes(*first));
    let found = answer(bytes, id, "www.customer.example");
    assert_eq!(answer(bytes, !id, "www.customer.example"), None, "a reply to another question");
    let Some(Answer::Cname { target, .. }) = &found else { return false };
    assert!(question(id, target).is_some(), "{target:?} is no name");
    assert_eq!(answer(&[bytes, b"more"].concat(), id, "www.customer.example"), found);
    true
}

/// What Keystone says of a token: whatever is taken from it can stand in a header, and nothing of it is empty.
pub fn keystone_token(bytes: &[u8]) -> bool {
    let Some(token) = proxy::middleware::authtoken::Token::parse(bytes) else { return false };
    let named = [Some(&token.user), token.project.as_ref()].into_iter().flatten();
    let texts = named.flat_map(|one| [Some(&one.id), Some(&one.name), one.domain_id.as_ref()]).flatten();
    for text in texts.chain(&token.roles) {
        assert!(!text.is_empty() && !text.contains(|character: char| character.is_control()), "{text:?}");
    }
    true
}

/// Replies of memcached mean the same however their bytes arrive, are taken only for the keys asked for, and never need more
/// memory than was announced and allowed.
pub fn memcache_reply(bytes: &[u8]) -> bool {
    let Some((choice, stream)) = bytes.split_first() else { return false };
    // Keys of the corpus are written `@a`, `@b`, since no fuzzer finds an MD5.
    let keys = [WireKey::of("a"), WireKey::of("b")];
    let mut stream = stream.to_vec();
    for (name, key) in ["@a", "@b"].into_iter().zip(&keys) {
        while let Some(at) = stream.windows(2).position(|pair| pair == name.as_bytes()) {
            stream.splice(at..at + 2, key.as_bytes().iter().copied());
        }
    }
    let wanted = match choice % 4 {
        0 => Wanted::Values(keys.to_vec()),
        1 => Wanted::Stored,
        2 => Wanted::Number,
        _ => Wanted::Deleted,
    };
    let understood = replies(&stream, &wanted, stream.len().max(1));
    assert_eq!(understood, replies(&stream, &wanted, usize::from(*choice) / 4 + 1));
    understood.len() > 1
}

/// What is understood of a stream that comes in pieces: a text for each reply and one for the end.
fn replies(stream: &[u8], wanted: &Wanted, piece: usize) -> Vec<String> {
    let mut understood = Vec::new();
    let mut pieces = stream.chunks(piece);
    let mut buffer = BytesMut::new();
    loop {
        match reply::next(&mut buffer, wanted) {
            Ok(Some(reply::Reply::Values(values))) => {
                assert_eq!(values.len(), 2);
                for value in values.iter().flatten() {
                    assert!(value.bytes.len() <= base::memcache::value::BYTES_MAX);
                    let _ = value.as_json();
                }
                understood.push(format!("{values:?}"));
            }
            Ok(Some(reply)) => understood.push(format!("{reply:?}")),
            Err(refusal) => return refused(understood, "reply", &format!("{refusal:?}")),
            Ok(None) => match pieces.next() {
                Some(more) => buffer.extend_from_slice(more),
                None => return refused(understood, "reply", "it ends"),
            },
        }
    }
}
