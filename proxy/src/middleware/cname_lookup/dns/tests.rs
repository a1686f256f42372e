//! Replies of servers, honest and other.

use super::*;
use proptest::prelude::*;

const NAME: &str = "www.customer.example";

/// A name in labels.
fn labels(name: &str) -> Vec<u8> {
    let label = |label: &str| [&[u8::try_from(label.len()).unwrap()], label.as_bytes()].concat();
    let labels = name.split('.').filter(|label| !label.is_empty()).flat_map(label);
    labels.chain([0]).collect()
}

/// A reply to `asked` with these flags and records (owner, type, ttl, data).
pub(crate) fn reply(id: u16, flags: u16, asked: &str, records: &[(Vec<u8>, u16, u32, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = [id.to_be_bytes(), flags.to_be_bytes(), [0, 1]].concat();
    bytes.extend(u16::try_from(records.len()).unwrap().to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(labels(asked));
    bytes.extend([0, 5, 0, 1]);
    for (owner, kind, ttl, data) in records {
        bytes.extend(owner);
        bytes.extend([kind.to_be_bytes(), [0, 1]].concat());
        bytes.extend(ttl.to_be_bytes());
        bytes.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        bytes.extend(data);
    }
    bytes
}

/// `NAME` is another name for this one.
pub(crate) fn cname(id: u16, asked: &str, target: &str, ttl: u32) -> Vec<u8> {
    reply(id, 0x8180, asked, &[(vec![0xc0, 12], CNAME, ttl, labels(target))])
}

fn check(bytes: &[u8], expected: Option<Answer>) {
    assert_eq!(answer(bytes, 7, NAME), expected, "{bytes:?}");
}

fn target(target: &str, ttl: u32) -> Option<Answer> {
    Some(Answer::Cname { target: target.to_owned(), ttl })
}

#[test]
fn a_question_has_the_form_of_the_rfc() {
    let expected =
        [&[0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], b"\x03www\x08customer\x07example\0", &[0, 5, 0, 1]].concat();
    assert_eq!(question(7, NAME), Some(expected));
    let long = ["a"; 127].join(".");
    assert!(question(7, &long).is_some());
    for name in ["", ".", "a..b", "a.", "sp ace", "a\r\nb", &"a".repeat(64), &format!("{long}.a"), "\u{e9}.example"] {
        assert_eq!(question(7, name), None, "{name}");
    }
}

#[test]
fn an_answer_may_be_compressed_and_stand_behind_others() {
    check(&cname(7, NAME, "c.auth-a.storage.example", 300), target("c.auth-a.storage.example", 300));
    check(&cname(7, "WWW.Customer.Example", "x.example", 300), target("x.example", 300));
    // `c`, then the `example` of the question.
    let data = vec![1, b'c', 0xc0, 25];
    let other = (labels("other.example"), CNAME, 1, labels("wrong.example"));
    let address = (vec![0xc0, 12], 1, 1, vec![127, 0, 0, 1]);
    let wanted = (vec![0xc0, 12], CNAME, 9, data);
    check(&reply(7, 0x8180, NAME, &[other.clone(), address.clone(), wanted]), target("c.example", 9));
    check(&reply(7, 0x8180, NAME, &[other, address]), Some(Answer::Nothing));
    check(&cname(7, NAME, "x.example", 0x8000_0000), target("x.example", 0));
}

#[test]
fn servers_that_know_nothing_and_servers_that_fail_are_told_apart() {
    for (flags, expected) in [
        (0x8180, Answer::Nothing),
        (0x8183, Answer::Nothing),
        (0x8182, Answer::Failed),
        (0x8185, Answer::Failed),
        (0x8380, Answer::Failed), // cut off
        (0x8383, Answer::Failed),
    ] {
        check(&reply(7, flags, NAME, &[]), Some(expected));
    }
}

#[test]
fn what_answers_another_question_is_no_answer() {
    let good = cname(7, NAME, "x.example", 1);
    assert_eq!(answer(&good, 8, NAME), None);
    assert_eq!(answer(&good, 7, "other.example"), None);
    check(&reply(7, 0x0100, NAME, &[]), None); // a question
    check(&reply(7, 0x9180, NAME, &[]), None); // another operation
    check(&[], None);
    check(&good[..20], None);
    let mut two = good.clone();
    two[5] = 2;
    check(&two, None);
    let mut other_kind = good;
    other_kind[12 + 22 + 1] = 1;
    check(&other_kind, None);
}

#[test]
fn hostile_names_end_and_are_not_taken() {
    let with = |data: Vec<u8>| reply(7, 0x8180, NAME, &[(vec![0xc0, 12], CNAME, 1, data)]);
    let start = u8::try_from(with(Vec::new()).len()).unwrap();
    let long: Vec<u8> = labels(&["a"; 128].join("."));
    for data in [
        vec![0xc0, start],                       // to itself
        vec![1, b'a', 0xc0, start],              // to its own beginning
        vec![0xc0, 0xff],                        // ahead
        vec![0xff, 0xff],                        // outside
        vec![0xc0],                              // half a pointer
        vec![0x40, b'a', 0],                     // neither label nor pointer
        vec![5, b'a', 0],                        // a label that is cut off
        vec![0],                                 // no name
        labels("a\r\nx: y.example"),             // a line end
        labels("a b.example"),                   // a blank
        long,                                    // 256 bytes
        [labels("x.example"), vec![0]].concat(), // more than a name
        Vec::new(),
    ] {
        check(&with(data), Some(Answer::Failed));
    }
    // A label with a dot in it is not two labels.
    let mut dotted = cname(7, NAME, "x.example", 1);
    dotted[12 + 4] = b'.';
    dotted[12] = 12;
    check(&dotted, None);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        let _ = answer(&bytes, 7, NAME);
    }

    #[test]
    fn a_damaged_reply_never_gives_a_name_that_is_none(at in 0..70_usize, byte: u8) {
        let mut bytes = cname(7, NAME, "c.auth-a.storage.example", 300);
        let length = bytes.len();
        bytes[at % length] = byte;
        if let Some(Answer::Cname { target, .. }) = answer(&bytes, 7, NAME) {
            prop_assert!(target.bytes().all(|byte| is_plain(byte) || byte == b'.') && !target.is_empty());
        }
    }
}
