//! Core: which of the four content types of listings a client gets. One pass over the header: no pattern can take long
//! (CVE-2026-71190).

/// In the order of our preference.
const OFFERED: [&str; 4] = ["text/plain", "application/json", "application/xml", "text/xml"];

/// The decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// This one.
    Type(&'static str),
    /// The header makes no sense: 400.
    Invalid,
    /// Nothing that we have: 406.
    None,
}

struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    quality: f32,
}

/// `format=` decides alone; without it, the best of `Accept`.
pub(super) fn choose(format: Option<&[u8]>, accept: Option<&[u8]>) -> Choice {
    if let Some(format) = format.filter(|format| !format.is_empty()) {
        return Choice::Type(match format.to_ascii_lowercase().as_slice() {
            b"json" => "application/json",
            b"xml" => "application/xml",
            _ => "text/plain",
        });
    }
    let Some(accept) = accept else { return Choice::Type("text/plain") };
    let Ok(accept) = std::str::from_utf8(accept) else { return Choice::Invalid };
    if accept.trim().is_empty() {
        return Choice::Type("text/plain");
    }
    let Some(mut ranges) = accept.split(',').map(range).collect::<Option<Vec<_>>>() else { return Choice::Invalid };
    // The wish with the highest quality counts, the more exact one among equals; the sort keeps the client's order.
    ranges.sort_by(|a, b| b.quality.total_cmp(&a.quality).then(b.exactness().cmp(&a.exactness())));
    // Asked once a type, not once a wish: the work grows with the header's length, not with its square.
    let offered = OFFERED.map(|offered| (offered, is_refused(&ranges, offered)));
    let mut wished = ranges.iter().filter(|range| range.quality > 0.0);
    wished
        .find_map(|range| offered.iter().find(|(offered, is_refused)| !is_refused && range.matches(offered)))
        .map(|(offered, _)| *offered)
        .map_or(Choice::None, Choice::Type)
}

/// Whether one of the client's ranges takes `offered`; without the header, all does.
pub(super) fn accepts(accept: Option<&[u8]>, offered: &str) -> bool {
    let Some(accept) = accept.and_then(|accept| std::str::from_utf8(accept).ok()) else { return accept.is_none() };
    let Some(ranges) = accept.split(',').map(range).collect::<Option<Vec<_>>>() else {
        return accept.trim().is_empty();
    };
    ranges.iter().any(|range| range.quality > 0.0 && range.matches(offered)) && !is_refused(&ranges, offered)
}

/// `q=0` on exactly this type.
fn is_refused(ranges: &[Range], offered: &str) -> bool {
    ranges.iter().any(|range| range.quality <= 0.0 && range.exactness() == 2 && range.matches(offered))
}

impl Range<'_> {
    fn matches(&self, offered: &str) -> bool {
        let (kind, subtype) = offered.split_once('/').unwrap_or_default();
        (self.kind == "*" || self.kind.eq_ignore_ascii_case(kind))
            && (self.subtype == "*" || self.subtype.eq_ignore_ascii_case(subtype))
    }

    fn exactness(&self) -> u8 {
        u8::from(self.kind != "*") + u8::from(self.subtype != "*")
    }
}

fn range(text: &str) -> Option<Range<'_>> {
    let mut parts = text.split(';');
    let (kind, subtype) = parts.next()?.trim().split_once('/')?;
    if !is_token(kind) || !is_token(subtype) {
        return None;
    }
    let mut quality = None;
    for parameter in parts {
        let (name, value) = parameter.split_once('=')?;
        let value = value.trim();
        if value.is_empty() {
            return None;
        }
        if name.trim().eq_ignore_ascii_case("q") {
            // Any number, as in Swift; a second one is none.
            let number = value.parse::<f32>().ok().filter(|number| number.is_finite() && quality.is_none())?;
            quality = Some(number);
        }
    }
    Some(Range { kind, subtype, quality: quality.unwrap_or(1.0) })
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_best_wish_wins() {
        let check =
            |accept: &str, expected: Choice| assert_eq!(choose(None, Some(accept.as_bytes())), expected, "{accept}");
        check("*/*", Choice::Type("text/plain"));
        check("application/json", Choice::Type("application/json"));
        check("text/xml", Choice::Type("text/xml"));
        check("application/*", Choice::Type("application/json"));
        check("application/xml;q=0.5, application/json;q=0.4, */*;q=0.1", Choice::Type("application/xml"));
        check("*/*;q=0.9, application/json", Choice::Type("application/json"));
        check("image/png", Choice::None);
        check("text/plain;q=0, text/*", Choice::Type("text/xml"));
        check("garbage", Choice::Invalid);
        check("text/plain;q=2, text/xml", Choice::Type("text/plain"));
        check("text/plain;q=x", Choice::Invalid);
        check("text/plain;q=1;q=1", Choice::Invalid);
        check("text/plain;level=", Choice::Invalid);
        check("", Choice::Type("text/plain"));
    }

    #[test]
    fn cve_2026_71190_hostile_headers_are_read_in_one_pass() {
        // What makes a backtracking pattern try every split, and what makes every wish ask every refusal.
        let refusals = "text/plain;q=0,application/json;q=0,application/xml;q=0,text/xml;q=0,";
        for accept in [
            format!("text/{}", "a;".repeat(500_000)),
            format!("{}!", "a/b;q=0.1,".repeat(100_000)),
            format!("a/b;{}", "x=\"".repeat(500_000)),
            format!("{refusals}{}", vec!["*/*"; 200_000].join(",")),
            " ".repeat(1_000_000),
            ",".repeat(1_000_000),
        ] {
            let choice = choose(None, Some(accept.as_bytes()));
            assert!(!matches!(choice, Choice::Type("application/json")), "{choice:?}");
        }
    }

    #[test]
    fn the_parameter_beats_the_header() {
        let check = |format: &str, expected| {
            assert_eq!(choose(Some(format.as_bytes()), Some(b"image/png")), Choice::Type(expected));
        };
        check("json", "application/json");
        check("XML", "application/xml");
        check("nonsense", "text/plain");
    }

    proptest! {
        #[test]
        fn no_header_panics(accept in "\\PC{0,80}") {
            let _ = choose(None, Some(accept.as_bytes()));
        }
    }
}
